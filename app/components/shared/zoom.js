// For components that let people look closer; in front of their script where they ask for it.

/**
 * Zoom for the image in a box: fitted at first; the wheel zooms at the pointer, a drag moves, a click goes to one
 * pixel a pixel and back. `size` is the image's [width, height] where it is known; `sharp` is the address of the
 * whole image, fetched only when somebody looks closer; `onZoom` hears the zoom in words.
 */
function zoomable(box, image, { size = null, sharp = null, onZoom = () => {} } = {}) {
  const view = { zoom: 1, x: 0, y: 0 };
  let full = !sharp;
  const fitted = () => (size ? Math.min(box.clientWidth / size[0], box.clientHeight / size[1]) : 1);
  const original = () => Math.max(0.05, 1 / fitted() / (devicePixelRatio || 1));
  function set(zoom, px = box.clientWidth / 2, py = box.clientHeight / 2) {
    const bounded = Math.min(Math.max(zoom, Math.min(1, original())), Math.max(8, 8 * original()));
    const ratio = bounded / view.zoom;
    view.x = px - (px - view.x) * ratio;
    view.y = py - (py - view.y) * ratio;
    view.zoom = bounded;
    if (bounded === 1) view.x = view.y = 0;
    // Pixels beyond the preview's are fetched only when somebody looks closer.
    if (bounded > 1 && !full) {
      full = true;
      const whole = new Image();
      whole.onload = () => (image.src = sharp);
      whole.src = sharp;
    }
    show();
  }
  function show() {
    const [w, h] = [box.clientWidth, box.clientHeight];
    if (view.zoom > 1) {
      view.x = Math.min(0, Math.max(w * (1 - view.zoom), view.x));
      view.y = Math.min(0, Math.max(h * (1 - view.zoom), view.y));
    } else {
      view.x = (w * (1 - view.zoom)) / 2;
      view.y = (h * (1 - view.zoom)) / 2;
    }
    image.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;
    box.classList.toggle("near", view.zoom > 1);
    image.classList.toggle("pixels", view.zoom >= 4 * original());
    onZoom(size ? `${Math.round(view.zoom * fitted() * 100)} %` : "");
  }
  function move(dx, dy) {
    view.x += dx;
    view.y += dy;
    show();
  }
  const place = (event) => {
    const rectangle = box.getBoundingClientRect();
    return [event.clientX - rectangle.left, event.clientY - rectangle.top];
  };
  box.addEventListener("wheel", (event) => {
    event.preventDefault();
    set(view.zoom * Math.exp(-event.deltaY * 0.0018), ...place(event));
  }, { passive: false });
  let from = null, moved = 0;
  box.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    from = place(event);
    moved = 0;
    box.setPointerCapture(event.pointerId);
  });
  box.addEventListener("pointermove", (event) => {
    if (!from) return;
    const now = place(event);
    moved += Math.hypot(now[0] - from[0], now[1] - from[1]);
    if (moved > 4 && view.zoom > 1) move(now[0] - from[0], now[1] - from[1]);
    from = now;
  });
  box.addEventListener("pointerup", (event) => {
    if (from && moved <= 4) set(view.zoom === 1 ? (Math.abs(original() - 1) < 0.1 ? 2 : original()) : 1, ...place(event));
    from = null;
  });
  box.addEventListener("pointercancel", () => (from = null));
  image.addEventListener("load", show);
  return { set, move, original, near: () => view.zoom !== 1, by: (factor) => set(view.zoom * factor), fit: () => set(1) };
}
