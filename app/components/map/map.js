// Points by WebGL2: positions are fetched once and stay on the graphics card; a new slice or colouring replaces
// one byte a point. Everything else (names, ring, card, legend) is ordinary elements above the canvas.

const VERTEX = `#version 300 es
in vec2 position;
in uint color;
in uint state;            // 0: nowhere, 1: faded, 2: shown
uniform vec4 view;        // centre x, y; scale x, y to clip space
uniform float size;
uniform uint pass;
uniform sampler2D palette;
out vec4 paint;
void main() {
  gl_Position = state == pass ? vec4((position - view.xy) * view.zw, 0.0, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = size;
  vec4 entry = texelFetch(palette, ivec2(int(color), 0), 0);
  paint = pass == 2u ? vec4(entry.rgb, 0.85) : vec4(entry.rgb, 0.13);
}`;
const FRAGMENT = `#version 300 es
precision highp float;
in vec4 paint;
out vec4 pixel;
uniform float size;
void main() {
  float edge = length(gl_PointCoord - 0.5) * size;
  float cover = clamp(size * 0.5 - edge + 0.5, 0.0, 1.0);
  pixel = vec4(paint.rgb, 1.0) * paint.a * cover;
}`;

const NEAR = 12; // pixels from the pointer within which a point counts as meant
const fetched = (globalThis.errataPoints ??= new Map());

export default function ({ data, parentElement, setTriggerValue }) {
  const root = themedRoot(parentElement);
  const map = stateOf(parentElement, () => new EmbeddingMap(root));
  map.open = (item) => setTriggerValue("open", item);
  map.update(data);
  return () => map.destroy();
}

class EmbeddingMap {
  constructor(root) {
    this.root = root;
    this.canvas = el("canvas", { tabindex: "0", role: "application", "aria-label": "Map of the items. Arrow keys pan, plus and minus zoom, 0 shows everything, Enter opens the item nearest the centre." });
    this.names = el("div", { class: "names", "aria-hidden": "true" });
    this.ring = el("div", { class: "ring", hidden: true });
    this.cross = el("div", { class: "cross", "aria-hidden": "true" });
    this.card = el("div", { class: "card", role: "status", hidden: true });
    this.legend = el("div", { class: "legend" });
    this.message = el("div", { class: "message", role: "status" });
    this.tools = el(
      "div",
      { class: "tools" },
      el("button", { type: "button", text: "+", title: "Zoom in (+)", "aria-label": "Zoom in", on: { click: () => this.zoom(1.6) } }),
      el("button", { type: "button", text: "−", title: "Zoom out (−)", "aria-label": "Zoom out", on: { click: () => this.zoom(1 / 1.6) } }),
      el("button", { type: "button", text: "⤢", title: "Show everything (0)", "aria-label": "Show everything", on: { click: () => this.reset() } }),
    );
    this.frame = el("div", { class: "frame" }, this.canvas, this.names, this.ring, this.cross, this.tools, this.message, this.card);
    root.replaceChildren(this.frame, this.legend);
    this.view = null;
    this.pointers = new Map();
    this.words = new Map();
    this.listen();
    this.resizing = new ResizeObserver(() => this.draw());
    this.resizing.observe(this.canvas);
    this.startGl();
  }

  destroy() {
    this.resizing.disconnect();
    cancelAnimationFrame(this.pending);
    this.gl?.getExtension("WEBGL_lose_context")?.loseContext();
    mounted.delete(this.root.getRootNode());
  }

  // ---- data

  update(data) {
    const before = this.data;
    this.data = data;
    this.frame.style.height = `${data.height}px`;
    this.showLegend();
    if (!this.gl) return;
    this.fillPalette();
    if (before?.pointsUrl !== data.pointsUrl) this.load(data.pointsUrl);
    else if (this.points) {
      if (before.colors !== data.colors || before.visible !== data.visible) this.fillStates();
      this.draw();
    }
  }

  async load(url) {
    this.say("Loading the map…");
    try {
      if (!fetched.has(url)) {
        if (fetched.size > 3) fetched.delete(fetched.keys().next().value);
        const loading = get(this.data.session, url).then((answer) => answer.arrayBuffer()).then((bytes) => new Float32Array(bytes));
        fetched.set(url, loading);
        loading.catch(() => fetched.delete(url));
      }
      const points = await fetched.get(url);
      if (this.data.pointsUrl !== url) return;
      this.points = points;
      this.count = points.length / 2;
      this.measure();
      this.say(this.placed ? "" : "No item has a place on this map.");
      this.fillPositions();
      this.fillStates();
      this.view ??= this.whole();
      this.draw();
    } catch (error) {
      this.say(error.message, () => this.load(url));
    }
  }

  /** Bounds of the points, and a grid of cells over them for finding the nearest. */
  measure() {
    const { points, count } = this;
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    this.placed = 0;
    for (let i = 0; i < count; i++) {
      const x = points[2 * i], y = points[2 * i + 1];
      if (!(x === x && y === y)) continue;
      this.placed++;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < low) low = y;
      if (y > high) high = y;
    }
    if (!this.placed) [left, right, low, high] = [0, 1, 0, 1];
    this.bounds = { left, right: Math.max(right, left + 1e-6), low, high: Math.max(high, low + 1e-6) };
    const side = (this.side = Math.max(1, Math.min(1024, Math.ceil(Math.sqrt(this.placed / 4)))));
    const start = (this.cellStart = new Uint32Array(side * side + 1));
    const cells = new Int32Array(count).fill(-1);
    for (let i = 0; i < count; i++) {
      const x = points[2 * i], y = points[2 * i + 1];
      if (!(x === x && y === y)) continue;
      cells[i] = this.column(x) + side * this.row(y);
      start[cells[i] + 1]++;
    }
    for (let c = 0; c < side * side; c++) start[c + 1] += start[c];
    const next = start.slice();
    this.cellItems = new Uint32Array(this.placed);
    for (let i = 0; i < count; i++) if (cells[i] >= 0) this.cellItems[next[cells[i]]++] = i;
  }

  column(x) {
    return clamp(Math.floor(((x - this.bounds.left) / (this.bounds.right - this.bounds.left)) * this.side), 0, this.side - 1);
  }

  row(y) {
    return clamp(Math.floor(((y - this.bounds.low) / (this.bounds.high - this.bounds.low)) * this.side), 0, this.side - 1);
  }

  /** The shown item nearest to a place on the canvas (CSS pixels) within NEAR pixels; null when there is none. */
  nearest(px, py, reach = NEAR) {
    if (!this.points || !this.states) return null;
    const [x, y] = this.toMap(px, py);
    const r = reach / this.view.scale;
    let best = null, bestSquare = r * r;
    for (let row = this.row(y - r); row <= this.row(y + r); row++) {
      for (let column = this.column(x - r); column <= this.column(x + r); column++) {
        const cell = column + this.side * row;
        for (let k = this.cellStart[cell]; k < this.cellStart[cell + 1]; k++) {
          const item = this.cellItems[k];
          if (this.states[item] !== 2) continue;
          const square = (this.points[2 * item] - x) ** 2 + (this.points[2 * item + 1] - y) ** 2;
          if (square <= bestSquare) [best, bestSquare] = [item, square];
        }
      }
    }
    return best;
  }

  // ---- graphics

  startGl() {
    const gl = (this.gl = this.canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true, alpha: true }));
    if (!gl) {
      this.say("This browser shows no WebGL2, which the map is drawn with. Turn on hardware acceleration, or use the gallery beside it.");
      return;
    }
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    ["position", "color", "state"].forEach((name, slot) => gl.bindAttribLocation(program, slot, name));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      this.say(`The map cannot be drawn here: ${gl.getProgramInfoLog(program)}`);
      this.gl = null;
      return;
    }
    gl.useProgram(program);
    this.uniform = Object.fromEntries(["view", "size", "pass", "palette"].map((name) => [name, gl.getUniformLocation(program, name)]));
    this.buffers = [0, 1, 2].map(() => gl.createBuffer());
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  attribute(slot, array, size, integer) {
    const { gl } = this;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[slot]);
    gl.bufferData(gl.ARRAY_BUFFER, array, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(slot);
    if (integer) gl.vertexAttribIPointer(slot, size, gl.UNSIGNED_BYTE, 0, 0);
    else gl.vertexAttribPointer(slot, size, gl.FLOAT, false, 0, 0);
  }

  fillPositions() {
    this.attribute(0, this.points, 2, false);
  }

  fillStates() {
    const colors = bytesOf(this.data.colors);
    const mask = this.data.visible === null ? null : bytesOf(this.data.visible);
    const states = (this.states = new Uint8Array(this.count));
    for (let i = 0; i < this.count; i++) {
      if (this.points[2 * i] !== this.points[2 * i]) continue;
      states[i] = mask === null || (mask[i >> 3] >> (i & 7)) & 1 ? 2 : 1;
    }
    this.colors = new Uint8Array(this.count);
    this.colors.set(colors.subarray(0, this.count));
    this.attribute(1, this.colors, 1, true);
    this.attribute(2, states, 1, true);
  }

  fillPalette() {
    const { gl } = this;
    const texels = new Uint8Array(256 * 4);
    this.paints = this.data.legend.map((entry, index) => rgbOf(this.root, this.colorOf(entry, index)));
    this.paints.forEach((rgb, index) => texels.set([...rgb, 255], 4 * index));
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, texels);
  }

  colorOf(entry, index) {
    if (entry.outcome) return `var(--${entry.outcome})`;
    if (entry.color) return entry.color;
    const theme = getComputedStyle(this.root).getPropertyValue("--st-chart-categorical-colors").split(",").filter(Boolean);
    return theme.length ? theme[index % theme.length].trim() : "var(--st-primary-color)";
  }

  draw() {
    cancelAnimationFrame(this.pending);
    this.pending = requestAnimationFrame(() => this.paint());
  }

  paint() {
    const { gl, canvas } = this;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!gl || !this.states || !width || !height || gl.isContextLost()) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      if (this.view?.untouched) this.view = this.whole();
    }
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    const { x, y, scale } = this.view;
    gl.uniform4f(this.uniform.view, x, y, (2 * scale) / width, (2 * scale) / height);
    gl.uniform1i(this.uniform.palette, 0);
    // Small where points are many, growing slowly as one comes nearer.
    const crowd = clamp(8.2 - Math.log10(Math.max(this.placed, 1)), 1.4, 7);
    const size = clamp(crowd * Math.pow(scale / this.whole().scale, 0.4), 1.4, 14) * ratio;
    for (const pass of [1, 2]) {
      gl.uniform1ui(this.uniform.pass, pass);
      gl.uniform1f(this.uniform.size, pass === 1 ? Math.max(1.2 * ratio, size * 0.75) : size);
      gl.drawArrays(gl.POINTS, 0, this.count);
    }
    this.placeNames(width, height);
    this.placeRing();
    this.frame.dataset.drawn = String(this.placed); // for tests: what was drawn last
  }

  // ---- view

  whole() {
    const { left, right, low, high } = this.bounds;
    const [width, height] = [Math.max(this.canvas.clientWidth, 50), Math.max(this.canvas.clientHeight, 50)];
    const scale = Math.min((width - 48) / (right - left), (height - 48) / (high - low));
    return { x: (left + right) / 2, y: (low + high) / 2, scale, untouched: true };
  }

  reset() {
    if (!this.points) return;
    this.view = this.whole();
    this.draw();
  }

  toMap(px, py) {
    const { x, y, scale } = this.view;
    return [x + (px - this.canvas.clientWidth / 2) / scale, y - (py - this.canvas.clientHeight / 2) / scale];
  }

  toCanvas(x, y) {
    return [(x - this.view.x) * this.view.scale + this.canvas.clientWidth / 2, (this.view.y - y) * this.view.scale + this.canvas.clientHeight / 2];
  }

  zoom(factor, px = this.canvas.clientWidth / 2, py = this.canvas.clientHeight / 2) {
    if (!this.points) return;
    const [x, y] = this.toMap(px, py);
    const base = this.whole().scale;
    const scale = clamp(this.view.scale * factor, base / 2, base * 400);
    this.view = { x: x - (px - this.canvas.clientWidth / 2) / scale, y: y + (py - this.canvas.clientHeight / 2) / scale, scale };
    this.draw();
  }

  pan(dx, dy) {
    if (!this.points) return;
    this.view = { x: this.view.x - dx / this.view.scale, y: this.view.y + dy / this.view.scale, scale: this.view.scale };
    this.draw();
  }

  // ---- people

  listen() {
    const { canvas, pointers } = this;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0018)), ...place(event));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, place(event));
      this.moved = pointers.size > 1 ? Infinity : 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const now = place(event);
      const before = pointers.get(event.pointerId);
      if (!before) {
        if (event.pointerType === "mouse") this.hover(...now);
        return;
      }
      if (pointers.size === 2) {
        const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
        const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
        this.zoom(distance(now, other) / Math.max(1, distance(before, other)), ...middle);
        this.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
      } else if (pointers.size === 1) {
        this.moved += distance(now, before);
        if (this.moved > 4) {
          this.hideCard();
          canvas.classList.add("dragging");
          this.pan(now[0] - before[0], now[1] - before[1]);
        }
      }
      pointers.set(event.pointerId, now);
    });
    const up = (event) => {
      if (!pointers.delete(event.pointerId)) return;
      canvas.classList.remove("dragging");
      if (event.type === "pointerup" && this.moved <= 4) {
        const item = this.nearest(...place(event));
        if (item !== null) this.openSoon(item);
      }
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("pointerleave", () => this.hideCard());
    canvas.addEventListener("dblclick", () => {
      clearTimeout(this.opening);
      this.reset();
    });
    canvas.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const step = 60;
      const act = {
        ArrowLeft: () => this.pan(step, 0), ArrowRight: () => this.pan(-step, 0),
        ArrowUp: () => this.pan(0, step), ArrowDown: () => this.pan(0, -step),
        "+": () => this.zoom(1.4), "=": () => this.zoom(1.4), "-": () => this.zoom(1 / 1.4), 0: () => this.reset(),
        Enter: () => {
          const item = this.nearest(canvas.clientWidth / 2, canvas.clientHeight / 2, 80);
          if (item !== null) this.open(item);
        },
      }[event.key];
      if (!act) return;
      event.preventDefault();
      event.stopPropagation();
      act();
      if (event.key !== "Enter") this.hover(canvas.clientWidth / 2, canvas.clientHeight / 2, 80);
    });
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.say("The graphics card was taken away; the map comes back when it does.");
    });
    canvas.addEventListener("webglcontextrestored", () => {
      this.startGl();
      if (!this.gl || !this.points) return;
      this.say("");
      this.fillPalette();
      this.fillPositions();
      this.fillStates();
      this.draw();
    });
  }

  /** A click opens, unless it turns out to be the first half of a double click. */
  openSoon(item) {
    clearTimeout(this.opening);
    this.opening = setTimeout(() => this.open(item), 220);
  }

  hover(px, py, reach = NEAR) {
    const item = this.nearest(px, py, reach);
    this.canvas.classList.toggle("over", item !== null);
    if (item === this.hovered) return;
    this.hovered = item;
    if (item === null) return this.hideCard();
    clearTimeout(this.asking);
    this.asking = setTimeout(() => this.showCard(item), this.words.has(item) ? 0 : 60);
  }

  hideCard() {
    clearTimeout(this.asking);
    this.hovered = null;
    this.card.hidden = true;
    this.canvas.classList.remove("over");
  }

  async showCard(item) {
    const { session, legend } = this.data;
    if (!this.words.has(item)) {
      if (this.words.size > 500) this.words.clear();
      this.words.set(item, get(session, `/data/${encodeURIComponent(session.workspace)}/item/${item}`).then((answer) => answer.json()));
    }
    let words;
    try {
      words = await this.words.get(item);
    } catch {
      this.words.delete(item);
      return;
    }
    if (this.hovered !== item) return;
    const tile = { ...words, item };
    const entry = legend[this.colors[item]];
    this.card.replaceChildren(
      picture(session, tile, 160, { lazy: false }),
      el("div", { class: "card-words" },
        el("div", { class: "label", text: tile.label ?? tile.key }),
        entry ? el("div", { class: "meaning" }, this.swatch(entry, this.colors[item]), el("span", { text: entry.name })) : null),
    );
    const [x, y] = this.toCanvas(this.points[2 * item], this.points[2 * item + 1]);
    this.card.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = this.card;
    this.card.style.left = `${x + 16 + width < this.canvas.clientWidth ? x + 14 : Math.max(4, x - width - 14)}px`;
    this.card.style.top = `${clamp(y - height / 2, 4, Math.max(4, this.canvas.clientHeight - height - 4))}px`;
  }

  swatch(entry, index) {
    if (entry.outcome) return el("span", { class: entry.outcome }, el("span", { class: "sign", text: SIGNS[entry.outcome], "aria-hidden": "true" }));
    return el("span", { class: "swatch", style: { background: this.colorOf(entry, index) } });
  }

  showLegend() {
    renderOnce(this.legend, [this.data.legend, this.root.className], () =>
      this.data.legend.map((entry, index) =>
        el("span", { class: "entry" }, this.swatch(entry, index), el("span", { class: "entry-name", text: entry.name, title: entry.name }), el("span", { class: "count", text: entry.count.toLocaleString("en").replaceAll(",", "\u202f") }))));
  }

  /** Names of clusters, the larger first; a name that would cover another one is left out. */
  placeNames(width, height) {
    const { clusters } = this.data;
    renderOnce(this.names, clusters, () => clusters.map((cluster) => el("span", { text: cluster.name })));
    this.nameWidths ??= new Map();
    const taken = [];
    const order = clusters.map((_, index) => index).sort((a, b) => clusters[b].size - clusters[a].size);
    for (const index of order) {
      const { name, x, y } = clusters[index];
      const label = this.names.children[index];
      const [px, py] = this.toCanvas(x, y);
      if (!this.nameWidths.has(name)) this.nameWidths.set(name, label.offsetWidth || name.length * 7);
      const half = this.nameWidths.get(name) / 2;
      const box = [px - half - 4, py - 9, px + half + 4, py + 9];
      const free = box[0] > 0 && box[2] < width && box[1] > 0 && box[3] < height && taken.every((other) => box[2] < other[0] || box[0] > other[2] || box[3] < other[1] || box[1] > other[3]);
      label.style.visibility = free ? "visible" : "hidden";
      if (!free) continue;
      taken.push(box);
      label.style.transform = `translate(${px - half}px, ${py - 9}px)`;
    }
  }

  placeRing() {
    const item = this.data.highlighted;
    const known = item !== null && item < this.count && this.states[item] > 0;
    this.ring.hidden = !known;
    if (!known) return;
    const [x, y] = this.toCanvas(this.points[2 * item], this.points[2 * item + 1]);
    this.ring.style.transform = `translate(${x - 10}px, ${y - 10}px)`;
  }

  say(text, again) {
    this.message.replaceChildren();
    if (!text) return;
    this.message.append(el("span", { text }));
    if (again) this.message.append(el("button", { type: "button", text: "Try again", on: { click: again } }));
  }
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

function distance(a, b) {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function rgbOf(root, color) {
  const probe = el("span", { style: { color, display: "none" } });
  root.append(probe);
  const channels = getComputedStyle(probe).color.match(/[\d.]+/g) ?? [128, 128, 128];
  probe.remove();
  return channels.slice(0, 3).map(Number);
}
