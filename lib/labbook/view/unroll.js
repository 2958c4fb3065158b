// ---- the explorer of log-polar coordinates

// A scene and its log-polar map, side by side: a hand that turns about the fixation paints the map column by column, from
// straight down towards the right; pointing at either picture marks the same point in both. Turning and enlarging the scene
// about the fixation shifts the map. Nothing moves by itself: the hand moves when it is asked to, and in steps of 30 degrees
// where the reader prefers reduced motion.
//
// data: scene (size, size), grey levels 0 to 255, coded; radii: the least and the largest, pixels; rings: those that are drawn.
explorers.unroll = async (root, live, data) => {
  const GREY = 128, HAND = "#d55e00", POINT = "#56b4e9", COLUMNS = 240, ROWS = 120, SECONDS = 6, LEFT = 40, BOTTOM = 18;
  const image = await tensors.unpack(data.scene), size = image.shape[0], middle = size / 2, [least, most] = data.radii;
  const grow = Math.log(most / least), calm = matchMedia("(prefers-reduced-motion: reduce)");
  const now = {hand: 360, turn: 0, zoom: 1, point: null};  // point: eccentricity and azimuth, degrees
  let begun = 0, shown, unrolled;

  // ---- what is computed

  function at(r, psi) {  // the scene at an eccentricity and an azimuth (radians), turned and enlarged; bilinear, grey beyond
    const y = middle + r / now.zoom * Math.cos(psi - now.turn * Math.PI / 180), x = middle + r / now.zoom * Math.sin(psi - now.turn * Math.PI / 180);
    const i = Math.floor(y), j = Math.floor(x), b = y - i, a = x - j;
    if (i < 0 || j < 0 || i > size - 2 || j > size - 2) return GREY;
    const [p, q] = [i * size + j, (i + 1) * size + j], v = image.data;
    return (1 - b) * ((1 - a) * v[p] + a * v[p + 1]) + b * ((1 - a) * v[q] + a * v[q + 1]);
  }

  function sheet(width, height, value) {
    const made = document.createElement("canvas"), pen = Object.assign(made, {width, height}).getContext("2d");
    const pixels = pen.createImageData(width, height);
    for (let k = 0; k < width * height; k++) pixels.data.set([...Array(3).fill(value(Math.floor(k / width), k % width)), 255], 4 * k);
    pen.putImageData(pixels, 0, 0);
    return made;
  }

  function compose() {
    shown = sheet(size, size, (i, j) => at(Math.hypot(i - middle, j - middle), Math.atan2(j - middle, i - middle)));
    unrolled = sheet(COLUMNS, ROWS, (i, j) => at(least * Math.exp(grow * (1 - (i + 0.5) / ROWS)), 2 * Math.PI * (j + 0.5) / COLUMNS));
  }

  // ---- what is drawn

  const canvas = label => html("canvas", {tabindex: 0, role: "application", "aria-label": label, class: "logpolar-canvas"});
  const field = canvas("The scene. Point at it, or use the arrow keys, to mark a point in both pictures.");
  const map = canvas("The log-polar map. Point at it, or use the arrow keys, to mark a point in both pictures.");
  const said = html("output", {class: "explorer-said", "aria-live": "polite"});

  function surface(element) {
    const scale = window.devicePixelRatio || 1, width = element.clientWidth || 300;
    element.width = element.height = Math.round(width * scale);
    const pen = element.getContext("2d");
    pen.scale(scale, scale);
    return [pen, width];
  }

  function stroke(pen, colour, thick, draw) {
    pen.beginPath();
    draw();
    Object.assign(pen, {strokeStyle: colour, lineWidth: thick});
    pen.stroke();
  }

  const dot = (pen, x, y) => [["#000000", 5], [POINT, 2.5]].forEach(([colour, thick]) => stroke(pen, colour, thick, () => pen.arc(x, y, 5, 0, 7)));
  const frameOf = width => [LEFT, width - 2, 2, width - BOTTOM];  // of the map: left, right, top, bottom
  const row = (r, [, , top, bottom]) => bottom - Math.log(r / least) / grow * (bottom - top);

  function drawField() {
    const [pen, width] = surface(field), unit = width / size, c = (middle + 0.5) * unit, psi = now.hand * Math.PI / 180;
    pen.drawImage(shown, 0, 0, width, width);
    if (now.hand < 360) {  // what is still to be painted is dim
      pen.beginPath();
      pen.moveTo(c, c);
      pen.arc(c, c, most * unit, Math.PI / 2 - psi, Math.PI / 2 - 2 * Math.PI, true);
      pen.fillStyle = "#000000a0";
      pen.fill();
    }
    for (const r of data.rings) stroke(pen, "#ffffffa0", 1, () => pen.arc(c, c, r * unit, 0, 7));
    stroke(pen, HAND, 2.5, () => { pen.moveTo(c, c); pen.lineTo(c + most * unit * Math.sin(psi), c + most * unit * Math.cos(psi)); });
    if (now.point) dot(pen, c + now.point[0] * unit * Math.sin(now.point[1] * Math.PI / 180), c + now.point[0] * unit * Math.cos(now.point[1] * Math.PI / 180));
  }

  function drawMap() {
    const [pen, width] = surface(map), frame = frameOf(width), [left, right, top, bottom] = frame, x = left + now.hand / 360 * (right - left);
    pen.save();
    pen.beginPath();
    pen.rect(left, top, x - left, bottom - top);
    pen.clip();
    pen.drawImage(unrolled, left, top, right - left, bottom - top);
    for (const r of data.rings) stroke(pen, "#ffffffa0", 1, () => { pen.moveTo(left, row(r, frame)); pen.lineTo(right, row(r, frame)); });
    pen.restore();
    pen.fillStyle = getComputedStyle(map).color;
    stroke(pen, pen.fillStyle, 0.5, () => pen.rect(left, top, right - left, bottom - top));
    stroke(pen, HAND, 2.5, () => { pen.moveTo(x, top); pen.lineTo(x, bottom); });
    if (now.point) dot(pen, left + now.point[1] / 360 * (right - left), row(now.point[0], frame));
    pen.font = "11px system-ui, sans-serif";
    pen.textAlign = "right";
    for (const r of data.rings) pen.fillText(`${r} px`, left - 4, row(r, frame) + 4);
    ["↓ 0°", "→ 90°", "↑ 180°", "← 270°"].forEach((label, k) => {
      pen.textAlign = k ? "center" : "left";
      pen.fillText(label, left + k / 4 * (right - left), bottom + 13);
    });
  }

  let frame = 0;
  function update() {
    frame ||= requestAnimationFrame(time => {
      frame = 0;
      if (begun) {
        now.hand = Math.min(360, (time - begun) / SECONDS * 0.36);
        if (now.hand === 360) begun = 0;
        tell();
      }
      drawField();
      drawMap();
      if (begun) update();
    });
  }

  // ---- controls

  const mark = (r, psi) => { now.point = [clamp(r, least, most), (psi % 360 + 360) % 360]; tell(); update(); };
  pointing(field, (x, y) => {
    const unit = field.clientWidth / size, right = x / unit - middle - 0.5, down = y / unit - middle - 0.5;
    mark(Math.hypot(right, down), Math.atan2(right, down) * 180 / Math.PI);
  });
  pointing(map, (x, y) => {
    const [left, right, top, bottom] = frameOf(map.clientWidth);
    mark(least * Math.exp(grow * (bottom - y) / (bottom - top)), 360 * clamp((x - left) / (right - left), 0, 0.999));
  });
  for (const each of [field, map]) arrows(each, (right, down) => { const [r, psi] = now.point ?? [20, 90]; mark(r * 1.05 ** -down, psi + 5 * right); });
  const sliders = {
    hand: slider("azimuth", 0, 360, value => { begun = 0; now.hand = value; tell(); update(); }),
    turn: slider("turn the scene", -180, 180, value => { now.turn = value; compose(); tell(); update(); }),
    zoom: slider("enlarge it", -8, 8, value => { now.zoom = 2 ** (value / 8); compose(); tell(); update(); }),
  };
  const play = html("button", {type: "button", class: "explorer-button"}, "unroll");
  play.addEventListener("click", () => {
    if (calm.matches) now.hand = now.hand >= 360 ? 30 : now.hand + 30;
    else begun = begun ? 0 : performance.now() - (now.hand < 360 ? now.hand * SECONDS / 0.36 : 0);
    tell();
    update();
  });
  function tell() {
    play.textContent = begun ? "pause" : "unroll";
    sliders.hand.tell(now.hand, `${Math.round(now.hand)}°`);
    sliders.turn.tell(now.turn, `${now.turn}°`.replace("-", "−"));
    sliders.zoom.tell(Math.round(8 * Math.log2(now.zoom)), `× ${now.zoom.toFixed(2)}`);
    said.textContent = now.point ? `Blue: eccentricity ${now.point[0].toFixed(1)} px, azimuth ${now.point[1].toFixed(0)}°.` : "Point at either picture to mark the same point in both.";
  }

  const card = (title, element) => html("div", {class: "explorer-card logpolar-card"}, html("span", {}, title), element);
  live.append(html("div", {class: "explorer-row explorer-wide"}, card("the scene", field), card("unrolled: azimuth × logarithm of eccentricity", map)),
    said, html("div", {class: "explorer-row explorer-tools"}, play), ...Object.values(sliders).map(each => each.box));
  root.state = () => ({...now, moving: begun > 0});
  compose();
  tell();
  new ResizeObserver(update).observe(field);
  new MutationObserver(update).observe(document.documentElement, {attributes: true, attributeFilter: ["data-theme"]});
};
