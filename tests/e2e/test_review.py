"""Review in a browser: from a slice to a queue, judging by keys, and nothing lost on the way."""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Page, expect

from analysis.lens import default_lens, frame
from analysis.review import log, queues, state
from analysis.review.queues import Queue
from analysis.workspace import Workspace
from tests.e2e.conftest import Visit

SLICE = "outcome=model_failure"


def queue_of(demo: Path, name: str) -> Queue:
    (found,) = [queue for queue in queues.listed(Workspace.open(demo)) if queue.name == name]
    return found


def at_rest(page: Page) -> None:
    """Wait until the page has run, and has not begun to run again shortly after."""
    for _ in range(2):
        page.wait_for_timeout(300)
        page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")


def make_queue(page: Page, name: str, n: int) -> None:
    """From any page by the button of the slice line: a random queue of the slice, one reading of each item."""
    page.locator(".st-key-review-these button:visible").first.click()
    page.wait_for_url(lambda url: "/review" in url and "step=new" in url)
    form = page.get_by_text(re.compile("^A new queue from"))
    expect(form).to_be_visible()
    page.get_by_role("textbox", name="Name", exact=True).fill(name)
    page.get_by_role("radiogroup").get_by_text("Simple random", exact=True).click()
    for label, value in (("How many items", n), ("Readings of each item", 1)):
        at_rest(page)  # a field that is drawn again while somebody types loses what was typed
        number = page.get_by_role("spinbutton", name=label)
        number.fill(str(value))
        number.press("Enter")
    at_rest(page)
    expect(page.get_by_role("spinbutton", name="Readings of each item")).to_have_value("1")
    expect(page.get_by_text(re.compile(f"^{n} items, about"))).to_be_visible()
    page.get_by_role("button", name="Make the queue").click()
    expect(page.get_by_text(re.compile(f"0 of {n} readings"))).to_be_visible()


def judge_reading(page: Page, key: str = "v") -> int:
    """Give every candidate of the reading on the screen the verdict of a key; returns how many there were."""
    judge = page.locator(".judge")
    shown = judge.get_attribute("data-shown")
    expect(judge).not_to_have_class(re.compile("unpainted"))
    n = page.locator(".judge .candidate").count()
    for _ in range(n):
        page.keyboard.press(key)
    expect(judge).not_to_have_attribute("data-shown", shown or "")
    return n


def test_a_slice_becomes_a_queue_and_what_is_judged_is_in_the_log(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit()
    page = window.open(f"/mistakes?where={quote(SLICE)}")
    make_queue(page, "By keys", 6)
    page.get_by_role("button", name="Judge", exact=True).first.click()
    page.wait_for_url(lambda url: "step=judge" in url)
    expect(page.locator(".judge[data-shown]")).to_be_visible()
    said = sum(judge_reading(page) for _ in range(3))
    expect(page.locator(".judge .progress")).to_have_text("3 judged · 3 to go")
    expect(page.locator(".judge .counts")).to_have_text(f"saved {said} · pending 0 · failed 0")
    queue = queue_of(demo, "By keys")
    mine = log.read(Workspace.open(demo)).filter(queue=queue.id)
    assert mine["value"].to_list() == ["valid"] * said
    assert mine["item"].n_unique() == 3
    assert mine["blind"].all()
    workspace = Workspace.open(demo)
    failures = frame(workspace, default_lens(workspace)).filter(outcome="model_failure")["item"]
    assert set(mine["item"]) <= set(failures)
    # Half of a reading, then the tab is loaded anew: it goes on where it was.
    page.keyboard.press("v")
    expect(page.locator(".judge .counts")).to_have_text(f"saved {said + 1} · pending 0 · failed 0")
    page.reload()
    expect(page.locator(".judge .progress")).to_have_text("0 judged · 3 to go")
    expect(page.locator(".judge[data-shown]")).to_be_visible()
    expect(page.locator(".judge .candidate.decided")).to_have_count(1)
    left = page.locator(".judge .candidate").count() - 1
    shown = page.locator(".judge").get_attribute("data-shown")
    for _ in range(left):
        page.keyboard.press("v")
    expect(page.locator(".judge")).not_to_have_attribute("data-shown", shown or "")
    said += 1 + left + judge_reading(page)
    said += page.locator(".judge .candidate").count()
    for _ in range(page.locator(".judge .candidate").count()):
        page.keyboard.press("v")
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
    expect(page.get_by_text(re.compile("Everything is saved"))).to_be_visible()
    assert log.read(Workspace.open(demo)).filter(queue=queue.id).height == said
    # The numbers are fresh: the list, and what moved.
    page.get_by_role("button", name="Leave").click()
    expect(page.get_by_text(re.compile("6 of 6 readings"))).to_be_visible()
    page.locator(f".st-key-results-{queue.id} button:visible").first.click()
    expect(page.get_by_text(re.compile("predictions? turned out right"))).to_be_visible()
    expect(page.locator(".st-key-changed button.tile").first).to_contain_text("now right (local)")


def test_the_drawer_tells_who_said_what_and_judges_one_image(visit: Callable[..., Visit], demo: Path) -> None:
    window = visit(dark=True)
    page = window.open("/browse?item=7")
    drawer = page.get_by_role("dialog")
    drawer.get_by_role("button", name="Judge", exact=True).click()
    page.wait_for_url(lambda url: "/review" in url and "step=judge" in url)
    expect(page.locator(".judge[data-shown]")).to_be_visible()
    n = page.locator(".judge .candidate").count()
    for _ in range(n):
        page.locator(".judge .candidate.current .verdict[data-verdict=valid]").click()
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
    expect(page.locator(".judge .counts")).to_have_text(f"saved {n} · pending 0 · failed 0")
    assert state.verdicts(log.read(Workspace.open(demo))).filter(item=7)["state"].to_list() == ["valid"] * n
    page = window.open("/browse?item=7")
    said = page.get_by_role("dialog").locator(".judgements li")
    expect(said).to_have_count(n)
    expect(said.first).to_contain_text("Item 7")
