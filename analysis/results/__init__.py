"""What a workspace answers: pages, command line and Python ask here, so that the same label set, hierarchy and
causes stand behind each number."""
