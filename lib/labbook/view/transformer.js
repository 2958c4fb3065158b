// The spatial transformer under the reader's hand: a window on a noisy visual field; theta, grid, crop, the classifier's
// probabilities and the gradient are computed here, for every frame.
//
// data: classifier and localisation, their layers; digits (10, 28, 28) and texture (h, h), coded as `tensors.decode` wants them;
// noise; start: digit, offset [down, right], contrast, window: x, y (pixels right of and below the middle), scale (its
// width in widths of the field), angle (degrees, clockwise).
explorers.transformer = async (root, live, data) => {
  const EDGE = 28, REACH = 1.16;  // samples along the crop's edge; what is shown of the plane is [-REACH, REACH]
  const SURE = 0.99, SHOWN = 14, LONGEST = 34;  // an arrow's pixels per nat and pixel, and at most
  const WINDOW = "#d55e00", PULL = "#56b4e9";
  const [classifier, digits, texture] = await Promise.all(
    [tensors.network(data.classifier), tensors.unpack(data.digits), tensors.unpack(data.texture)]);
  const half = texture.shape[0] / 2, mean = tensors.sum(texture.data) / texture.data.length;
  const view = {...data.start.window}, scene = {number: 0, ...data.start};
  const limits = {x: [-half, half], y: [-half, half], scale: [0.05, 1.25], angle: [-180, 180]};
  let padding = 0.5, field, seen, trail = [], timer = 0;

  // ---- what is computed

  function compose() {
    const n = 2 * half, [down, right] = scene.shift ?? [0, 0];
    const rolled = texture.data.map((_, k) => texture.data[((k / n | 0) + down) % n * n + (k + right) % n] - mean);
    const ink = tensors.tensor([EDGE, EDGE], digits.data.subarray(scene.digit * EDGE ** 2, (scene.digit + 1) * EDGE ** 2));
    field = tensors.composeField(ink, scene.offset, scene.contrast, tensors.tensor([n, n], rolled), data.noise);
    const grey = picture.getContext("2d"), pixels = grey.createImageData(n, n);
    picture.width = picture.height = n;
    field.data.forEach((value, k) => pixels.data.set([255 * value, 255 * value, 255 * value, 255], 4 * k));
    grey.putImageData(pixels, 0, 0);
  }

  function look() {
    const angle = view.angle * Math.PI / 180, c = view.scale * Math.cos(angle), s = view.scale * Math.sin(angle);
    const theta = [c, -s, view.x / half, s, c, view.y / half];
    const grid = tensors.affineGrid(theta, EDGE, EDGE), crop = tensors.gridSample(field, grid, padding);
    const made = tensors.forward(classifier, crop), probabilities = tensors.softmax(made.at(-1).data);
    const {loss, grad} = tensors.crossEntropy(made.at(-1), scene.digit);
    const errors = tensors.backward(classifier, made, grad);
    const gradient = tensors.affineGridBackward(tensors.gridSampleBackward(field, grid, errors, padding));
    const pull = [-gradient[2] / half, -gradient[5] / half];  // downhill, nats per pixel
    return {theta, grid, crop, probabilities, loss, gradient, pull, digit: scene.digit};
  }

  // ---- what is drawn

  const picture = html("canvas"), plane = html("canvas", {tabindex: 0, role: "application", class: "transformer-plane",
    "aria-label": "A window on the visual field. Arrow keys move it, plus and minus resize it, comma and full stop turn it."});
  const crop = html("canvas", {class: "transformer-crop", role: "img", "aria-label": "The crop: what the classifier gets"});
  const cells = range(6).map(k => html("span", {class: k % 3 === 2 ? "transformer-shift" : "transformer-shape"}));
  const matrix = html("div", {class: "transformer-theta", role: "img"}, html("i", {}, "θ"), "=", html("div", {}, ...cells));
  const bars = range(10).map(k => html("div", {class: "transformer-bar"}, html("i"), html("span", {}, `${k}`)));
  const said = html("output", {class: "explorer-said", "aria-live": "polite"}), slope = html("span", {class: "explorer-said"});

  function draw() {
    const ratio = window.devicePixelRatio || 1, edge = Math.max(1, Math.round(plane.clientWidth * ratio));
    if (plane.width !== edge) plane.width = plane.height = edge;
    const pen = plane.getContext("2d"), middle = edge / 2, unit = middle / REACH;  // of [-1, 1]
    const at = ([x, y]) => [middle + x * unit, middle + y * unit], {theta} = seen;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = padding ? "#808080" : "#000";
    pen.fillRect(0, 0, edge, edge);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(picture, middle - unit, middle - unit, 2 * unit, 2 * unit);
    outline(pen, corners.map(at), padding ? "#ffffff70" : "#ffffff90", ratio, [4 * ratio, 4 * ratio]);
    pen.fillStyle = "#ffd9a8";
    const dot = Math.max(1, Math.min(2.2 * ratio, view.scale * unit / EDGE * 0.45));
    for (let k = 0; k < seen.grid.data.length; k += 2) {
      const [x, y] = at([seen.grid.data[k], seen.grid.data[k + 1]]);
      pen.fillRect(x - dot / 2, y - dot / 2, dot, dot);
    }
    const frame_at = corners.map(corner => at(moved(theta, corner))), top = at(moved(theta, [0, -1])), knob = at(turner());
    for (const [width, colour] of [[5, "#ffffffc0"], [2.5, WINDOW]]) {
      outline(pen, frame_at, colour, width * ratio);
      outline(pen, [top, knob], colour, width * ratio);
    }
    const handle = ([x, y], round) => {
      pen.beginPath();
      if (round) pen.arc(x, y, 7 * ratio, 0, 7); else pen.rect(x - 6 * ratio, y - 6 * ratio, 12 * ratio, 12 * ratio);
      Object.assign(pen, {fillStyle: "#fff", strokeStyle: WINDOW, lineWidth: 2.5 * ratio});
      pen.fill();
      pen.stroke();
    };
    handle(knob, true);
    handle(frame_at[2], false);
    arrow(pen, at, unit, ratio);
    small();
  }

  function arrow(pen, at, unit, ratio) {
    const centre = [seen.theta[2], seen.theta[5]], size = Math.hypot(...seen.pull), length = Math.min(LONGEST, SHOWN * size) / half;
    const tip = at(centre.map((each, k) => each + seen.pull[k] / (size || 1) * length)), from = at(centre);
    const path_of = points => { pen.beginPath(); points.forEach((point, k) => k ? pen.lineTo(...point) : pen.moveTo(...point)); };
    const way = trail.map(at);
    for (const [width, colour] of [[6, "#000000b0"], [3, PULL]]) {
      Object.assign(pen, {strokeStyle: colour, fillStyle: colour, lineWidth: width * ratio, lineCap: "round", lineJoin: "round"});
      pen.setLineDash([]);
      if (way.length > 1) { path_of(way); pen.lineWidth = width * ratio / 2; pen.stroke(); pen.lineWidth = width * ratio; }
      pen.beginPath();
      pen.arc(...from, (width + 1) * ratio / 2, 0, 7);
      pen.fill();
      if (length * half < 1) continue;
      const turn = Math.atan2(tip[1] - from[1], tip[0] - from[0]), barb = Math.min(9 * ratio, length * unit * 0.6);
      const side = sign => [tip[0] - barb * Math.cos(turn + sign * 0.5), tip[1] - barb * Math.sin(turn + sign * 0.5)];
      path_of([from, tip]);
      pen.stroke();
      path_of([side(1), tip, side(-1)]);
      pen.stroke();
    }
  }

  function small() {
    crop.width = crop.height = EDGE;
    const pen = crop.getContext("2d"), pixels = pen.createImageData(EDGE, EDGE);
    seen.crop.data.forEach((value, k) => pixels.data.set([255 * value, 255 * value, 255 * value, 255], 4 * k));
    pen.putImageData(pixels, 0, 0);
    cells.forEach((cell, k) => { cell.textContent = seen.theta[k].toFixed(2).replace("-", "−").replace(/^−(0\.00)$/, "$1"); });
    matrix.setAttribute("aria-label", `theta: ${cells.map(cell => cell.textContent).join(", ")}`);
    const best = tensors.argmax(seen.probabilities), share = seen.probabilities[scene.digit];
    bars.forEach((bar, k) => {
      bar.firstChild.style.setProperty("--share", seen.probabilities[k]);
      bar.classList.toggle("transformer-label", k === scene.digit);
      bar.title = percent(seen.probabilities[k]);
    });
    said.textContent = `classified as ${best} (${percent(seen.probabilities[best])}), label ${scene.digit}`
      + (best !== scene.digit ? " ✗" : share >= SURE ? " ✓ sure" : " ✓");
    said.className = `explorer-said ${best === scene.digit ? "explorer-right" : ""}`;
    const [right, down] = seen.pull.map(each => (-each).toFixed(2).replace("-", "−").replace(/^−(0\.00)$/, "$1"));
    slope.textContent = `loss ${seen.loss.toFixed(2)}; its gradient ${right} per pixel to the right, ${down} per pixel down`;
  }

  // ---- what the reader does

  let due = 0;
  const again = () => {
    due ||= requestAnimationFrame(() => {
      due = 0;
      if (!field) compose();
      seen = look();
      root.seen = seen;
      draw();
    });
  };
  const set = (more, keep = false) => {
    if (!keep) { stop(); trail = []; }
    for (const [name, value] of Object.entries(more)) view[name] = name === "angle" ? (value + 540) % 360 - 180 : clamp(value, ...limits[name]);
    tell();
    again();
  };
  const pixels_of = value => `${Math.round(value)} px`.replace("-", "−");
  const tell = () => {
    sliders.x.tell(view.x, pixels_of(view.x), `${Math.round(view.x)} pixels right of the middle`);
    sliders.y.tell(view.y, pixels_of(view.y), `${Math.round(view.y)} pixels below the middle`);
    sliders.scale.tell(100 * view.scale, view.scale.toFixed(2), `${Math.round(100 * view.scale)} percent of the field's width`);
    sliders.angle.tell(view.angle, `${Math.round(view.angle)}°`.replace("-", "−"), `${Math.round(view.angle)} degrees clockwise`);
    contrast.tell(100 * scene.contrast, `${Math.round(100 * scene.contrast)} %`);
  };
  const sliders = {
    x: slider("right", ...limits.x, x => set({x})), y: slider("down", ...limits.y, y => set({y})),
    scale: slider("scale", 100 * limits.scale[0], 100 * limits.scale[1], scale => set({scale: scale / 100})),
    angle: slider("rotation", ...limits.angle, angle => set({angle})),
  };
  const contrast = slider("contrast", 10, 100, value => { scene.contrast = value / 100; field = null; set({}); });

  const turner = () => moved(seen.theta, [0, -1 - 0.22 / Math.max(view.scale, 0.22) - 0.12 / view.scale]);
  const hand = event => {
    const box = plane.getBoundingClientRect(), unit = box.width / 2 / REACH;
    return {x: (event.clientX - box.left - box.width / 2) / unit, y: (event.clientY - box.top - box.height / 2) / unit, unit};
  };
  const inside = ({x, y, unit}) => {  // which part of the window is under the hand: "turn", "scale", "move" or null
    const near = ([u, v]) => Math.hypot(u - x, v - y) * unit < 20;
    if (near(turner())) return "turn";
    if (corners.some(corner => near(moved(seen.theta, corner)))) return "scale";
    const angle = view.angle * Math.PI / 180, u = x - seen.theta[2], v = y - seen.theta[5], room = view.scale + 8 / unit;
    const along = Math.abs(u * Math.cos(angle) + v * Math.sin(angle)), across = Math.abs(v * Math.cos(angle) - u * Math.sin(angle));
    return along < room && across < room ? "move" : null;
  };
  let grip = null;
  plane.addEventListener("touchstart", event => { if (seen && inside(hand(event.touches[0]))) event.preventDefault(); }, {passive: false});
  plane.addEventListener("pointerdown", event => {
    if (!seen || event.button) return;
    const point = hand(event), part = inside(point);
    if (!part && event.pointerType !== "mouse") return;  // the page scrolls; a tap moves the window, below
    if (!part) set({x: point.x * half, y: point.y * half});
    grip = {part: part ?? "move", x: view.x / half - point.x, y: view.y / half - point.y};
    if (!part) grip.x = grip.y = 0;
    plane.setPointerCapture(event.pointerId);
  });
  plane.addEventListener("pointermove", event => {
    if (!seen) return;
    const point = hand(event), x = point.x - seen.theta[2], y = point.y - seen.theta[5];
    plane.style.cursor = {turn: "grab", scale: "nwse-resize", move: "move"}[grip?.part ?? inside(point)] ?? "crosshair";
    if (!grip) return;
    if (grip.part === "move") set({x: (point.x + grip.x) * half, y: (point.y + grip.y) * half});
    else if (grip.part === "turn") set({angle: Math.round(Math.atan2(y, x) * 180 / Math.PI + 90)});
    else set({scale: Math.hypot(x, y) / Math.SQRT2});
  });
  for (const end of ["pointerup", "pointercancel"]) plane.addEventListener(end, () => { grip = null; });
  plane.addEventListener("click", event => {
    const point = hand(event);
    if (event.pointerType !== "mouse" && seen && !inside(point)) set({x: point.x * half, y: point.y * half});
  });
  arrows(plane, (right, down) => set({x: view.x + right, y: view.y + down}));
  plane.addEventListener("keydown", event => {
    const act = {"+": {scale: view.scale + 0.01}, "=": {scale: view.scale + 0.01}, "-": {scale: view.scale - 0.01},
      ",": {angle: view.angle - 2}, ".": {angle: view.angle + 2}}[event.key];
    if (!act || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    set(act);
  });

  const button = (text, act) => {
    const made = html("button", {type: "button", class: "explorer-button"}, text);
    made.addEventListener("click", act);
    return made;
  };
  const stop = () => { clearInterval(timer); timer = 0; follow.textContent = "Follow the gradient"; };
  const follow = button("Follow the gradient", () => {
    if (timer) return stop();
    let steps = 0;
    trail = [[view.x / half, view.y / half]];
    follow.textContent = "Stop";
    timer = setInterval(() => {
      const {pull} = seen = look();
      if (++steps > 60 || Math.hypot(...pull) < 0.005) { stop(); return again(); }
      set({x: view.x + clamp(pull[0], -3, 3), y: view.y + clamp(pull[1], -3, 3)}, true);
      trail.push([view.x / half, view.y / half]);
    }, 70);
  });
  const next = button("Another scene", () => {
    const draws = tensors.random(++scene.number), angle = 2 * Math.PI * draws.uniform(), far = 20 + 24 * draws.uniform();
    Object.assign(scene, {digit: Math.floor(10 * draws.uniform()), offset: [Math.round(far * Math.sin(angle)), Math.round(far * Math.cos(angle))],
      shift: [Math.floor(2 * half * draws.uniform()), Math.floor(2 * half * draws.uniform())]});
    field = null;
    set(data.start.window);
  });
  let localisation = null;
  const choose = button("Let the network choose", async () => {
    localisation ??= await tensors.network(data.localisation);
    const [scale, x, y] = tensors.forward(localisation, field).at(-1).data;
    set({x: x * half, y: y * half, scale, angle: 0});
  });
  const put = button("Put it on the digit", () => set({x: scene.offset[1], y: scene.offset[0], scale: EDGE / (2 * half), angle: 0}));
  const edges = choice(root, "outside the image", ["grey", "black"], 0, k => { padding = [0.5, 0][k]; set({}); });

  live.append(html("div", {class: "transformer"}, plane, html("div", {class: "transformer-side"}, matrix,
    html("div", {class: "transformer-out"}, crop, html("div", {class: "transformer-bars", role: "img", "aria-label": "Probability of each digit"}, ...bars)),
    said, slope, html("div", {class: "explorer-tools"}, follow, choose, put, next), edges),
    ...[...Object.values(sliders), contrast].map(each => each.box)));
  new ResizeObserver(again).observe(plane);
  set({});
};
