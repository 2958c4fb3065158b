// The task under the reader's hand: a stimulus drawn from either distribution, with the spectrum of its texture and the places
// where the digit may be; and a staircase that measures the reader's own contrast threshold. Needs tensors.js.
//
// data: digits (10, 28, 28), coded; start: size (28 or 128), digit, contrast, noise, std, preferred, bandwidth, seed; fields:
// size -> {std: largest, limit (pixels)}; dots, how many places are shown; staircase: trials, used (the last so many), step
// (of the logarithm of the contrast), first, least (contrasts).
const task = (() => {
  const EDGE = 28;

  // A digit in its own frame (`stimuli.shift`, `stimuli.compose`): ink (28, 28), offset [down, right], texture (28, 28) about 0.
  function frame(ink, [down, right], contrast, texture, noise) {
    const moved = new Float32Array(EDGE ** 2), mean = tensors.sum(texture.data) / EDGE ** 2;
    for (let i = 0; i < EDGE; i++) for (let j = 0; j < EDGE; j++) {
      const y = i - down, x = j - right;
      if (y >= 0 && y < EDGE && x >= 0 && x < EDGE) moved[i * EDGE + j] = ink.data[y * EDGE + x];
    }
    let low = Infinity, high = -Infinity, peak = 0;
    for (const each of moved) { low = Math.min(low, each); high = Math.max(high, each); }
    for (const each of texture.data) peak = Math.max(peak, Math.abs(each - mean));
    const gain = contrast / Math.max(high - low, 1e-6);
    return tensors.tensor([1, EDGE, EDGE], moved.map((each, k) => {
      const level = 0.5 - 0.5 * contrast + (each - low) * gain, ground = 0.5 + 0.5 * noise * (texture.data[k] - mean) / peak;
      return Math.floor(255 * Math.min(1, Math.max(0, level > 0.5 ? Math.max(level, ground) : ground))) / 255;
    }));
  }

  // Offsets in whole pixels, truncated towards zero. 28: along each axis by itself; 128: along a random direction.
  const offsets = {
    28: ([a, b], std, limit) => [a, b].map(each => Math.trunc(Math.min(limit, Math.max(-limit, each * std))) || 0),
    128: ([a, , u], std, limit) => {
      const far = Math.min(Math.abs(a) * std, limit);
      return [Math.cos(2 * Math.PI * u), Math.sin(2 * Math.PI * u)].map(each => Math.trunc(far * each) || 0);
    },
  };

  // A stimulus: its draws depend on the seed alone, so that sliders change nothing else.
  function stimulus(now, digits, limit) {
    const draws = tensors.random(now.seed), place = [draws.normal(), draws.normal(), draws.uniform()];
    const texture = tensors.cloud(now.size, draws, tensors.spectrum(now.size, now.preferred, now.bandwidth));
    const mean = tensors.sum(texture.data) / texture.data.length;
    texture.data.forEach((each, k) => { texture.data[k] = each - mean; });
    const offset = offsets[now.size](place, now.std, limit);
    const ink = tensors.tensor([EDGE, EDGE], digits.data.subarray(now.digit * EDGE ** 2, (now.digit + 1) * EDGE ** 2));
    const compose = now.size === EDGE ? frame : tensors.composeField;
    return {offset, texture, image: compose(ink, offset, now.contrast, texture, now.noise)};
  }

  return {frame, offsets, stimulus};
})();

// ---- the explorer

explorers.task = async (root, live, data) => {
  const EDGE = 28, DIGIT = "#d55e00", DOT = "#56b4e9";
  const digits = await tensors.unpack(data.digits);
  const now = {...data.start, shown: true}, kept = {28: data.fields[28].std, 128: data.fields[128].std};
  let made, frame = 0, trial = null;

  // ---- what is drawn

  const scene = html("canvas", {class: "task-scene", role: "img", "aria-label": "The stimulus"});
  const curve = html("canvas", {class: "task-chart", role: "img", "aria-label": "Amplitude of the texture against spatial frequency"});
  const places = html("canvas", {class: "task-chart", role: "img", "aria-label": "Where the digit may be"});
  const said = html("output", {class: "explorer-said", "aria-live": "polite"});
  const small = document.createElement("canvas");

  function surface(element) {
    const scale = window.devicePixelRatio || 1, width = element.clientWidth || 200, height = element.clientHeight || width;
    element.width = Math.round(width * scale);
    element.height = Math.round(height * scale);
    const pen = element.getContext("2d");
    pen.scale(scale, scale);
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = pen.strokeStyle = getComputedStyle(element).color;
    return [pen, width, height];
  }

  function drawScene() {
    const n = now.size, [pen, width] = surface(scene), context = small.getContext("2d");
    small.width = small.height = n;
    const pixels = context.createImageData(n, n);
    made.image.data.forEach((value, k) => pixels.data.set([255 * value, 255 * value, 255 * value, 255], 4 * k));
    context.putImageData(pixels, 0, 0);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(small, 0, 0, width, width);
    if (!now.shown || trial) return;
    const unit = width / n, [down, right] = made.offset, from = (n - EDGE) / 2;
    for (const [colour, thick] of [["#000000", 3], [DIGIT, 1.5]]) {
      Object.assign(pen, {strokeStyle: colour, lineWidth: thick});
      pen.setLineDash(thick > 2 ? [] : [5, 4]);
      pen.strokeRect((from + right) * unit, (from + down) * unit, EDGE * unit, EDGE * unit);
    }
  }

  function drawCurve() {
    const [pen, width, height] = surface(curve), low = 1 / 128, high = 0.5, left = 6, bottom = height - 30, top = 16;
    const x = f => left + Math.log(f / low) / Math.log(high / low) * (width - left - 8);
    const sigma = Math.log((now.preferred + now.bandwidth) / now.preferred);
    const amplitude = f => Math.exp(-0.5 * (Math.log(f / now.preferred) / sigma) ** 2) / f;
    const peak = now.preferred * Math.exp(-(sigma ** 2)), most = amplitude(Math.max(low, peak));
    pen.beginPath();
    for (let k = 0; k <= 120; k++) {
      const f = low * (high / low) ** (k / 120);
      pen.lineTo(x(f), bottom - amplitude(f) / most * (bottom - top));
    }
    Object.assign(pen, {lineWidth: 2, strokeStyle: DOT});
    pen.stroke();
    pen.strokeStyle = pen.fillStyle;
    pen.lineWidth = 1;
    pen.globalAlpha = 0.5;
    for (const f of [now.preferred, ...(now.size === EDGE ? [1 / EDGE] : [])]) {
      pen.setLineDash(f === now.preferred ? [4, 3] : [1, 2]);
      pen.beginPath(); pen.moveTo(x(f), top - 4); pen.lineTo(x(f), bottom); pen.stroke();
    }
    pen.globalAlpha = 1;
    pen.textAlign = "center";
    pen.fillText("preferred", Math.min(width - 30, Math.max(30, x(now.preferred))), 10);
    for (const f of [0.01, 0.03, 0.1, 0.3]) pen.fillText(`${f}`, x(f), bottom + 13);
    pen.fillText("cycles per pixel", width / 2, bottom + 26);
  }

  function drawPlaces() {
    const n = now.size, [pen, width, height] = surface(places), edge = Math.min(width, height), x0 = (width - edge) / 2, unit = edge / n;
    const middle = [edge / 2, x0 + edge / 2], {limit} = data.fields[n], draws = tensors.random(1);
    pen.globalAlpha = 0.6;
    pen.beginPath();
    if (n === EDGE) pen.rect(x0 + 0.5, 0.5, edge - 1, edge - 1); else pen.arc(middle[1], middle[0], edge / 2 - 1, 0, 7);
    pen.stroke();
    pen.fillStyle = DOT;
    for (let k = 0; k < data.dots; k++) {
      const [down, right] = task.offsets[n]([draws.normal(), draws.normal(), draws.uniform()], now.std, limit);
      pen.beginPath(); pen.arc(middle[1] + right * unit, middle[0] + down * unit, 1.7, 0, 7); pen.fill();
    }
    if (trial) return;
    pen.globalAlpha = 1;
    const [down, right] = made.offset;
    Object.assign(pen, {strokeStyle: DIGIT, fillStyle: DIGIT, lineWidth: 2});
    pen.beginPath(); pen.arc(middle[1] + right * unit, middle[0] + down * unit, 4, 0, 7); pen.fill();
    pen.strokeRect(middle[1] + (right - EDGE / 2) * unit, middle[0] + (down - EDGE / 2) * unit, EDGE * unit, EDGE * unit);
  }

  function draw() {
    made = task.stimulus(now, digits, data.fields[now.size].limit);
    drawScene();
    drawCurve();
    drawPlaces();
    root.made = {...now, offset: made.offset, image: made.image, texture: made.texture};
    if (trial) return;
    const [down, right] = made.offset, far = Math.hypot(down, right);
    const text = now.shown ? `A ${now.digit}, ${away(down, right)}: eccentricity ${far.toFixed(0)} px. ` : "";
    said.textContent = `${text}Contrast over noise: ${now.noise ? (now.contrast / now.noise).toFixed(2) : "∞"}.`;
  }
  const soon = () => { frame ||= requestAnimationFrame(() => { frame = 0; draw(); }); };

  // ---- the staircase: after a correct answer the contrast falls by a step of its logarithm, after an error it rises by three;
  // it hovers where three in four answers are correct (Kaernbach 1991)

  const answers = html("div", {class: "task-answers", role: "group", "aria-label": "Your answer"});
  for (let k = 0; k < 10; k++) {
    const button = html("button", {type: "button", class: "explorer-button"}, `${k}`);
    button.addEventListener("click", () => answer(k));
    answers.append(button);
  }
  const start = html("button", {type: "button", class: "explorer-button"}, "Measure your own threshold");
  start.addEventListener("click", () => {
    if (trial) { stop(""); return; }
    trial = {log: [], draws: tensors.random((Math.random() * 2 ** 32) >>> 0), before: {...now}};
    now.contrast = data.staircase.first;
    next();
  });
  function next() {
    now.digit = Math.floor(10 * trial.draws.uniform());
    now.seed = Math.floor(2 ** 31 * trial.draws.uniform());
    said.textContent = `Which digit is it? Trial ${trial.log.length + 1} of ${data.staircase.trials}, contrast ${Math.round(100 * now.contrast)} %. Guess if you must.`;
    tell();
    soon();
  }
  function answer(k) {
    const {step, least, trials} = data.staircase, correct = k === now.digit;
    trial.log.push({contrast: now.contrast, correct});
    now.contrast = Math.min(1, Math.max(least, now.contrast * Math.exp(correct ? -step : 3 * step)));
    if (trial.log.length < trials) { next(); return; }
    const last = trial.log.slice(-data.staircase.used);
    const threshold = Math.exp(tensors.sum(last.map(each => Math.log(each.contrast))) / last.length);
    root.threshold = threshold;
    stop(`Your threshold: about ${Math.round(100 * threshold)} % contrast at noise ${now.noise.toFixed(2)} (mean of the last ${last.length} trials; ${trial.log.filter(each => each.correct).length} of ${trials} correct). At this contrast you classify about three digits in four.`);
  }
  function stop(text) {
    Object.assign(now, trial.before);
    trial = null;
    tell();
    draw();
    if (text) said.textContent = text;
  }

  // ---- controls

  const percentage = value => `${Math.round(100 * value)} %`;
  const frequency = value => value.toPrecision(2);
  const range = (low, high) => [value => low * (high / low) ** (value / 100), value => Math.round(100 * Math.log(value / low) / Math.log(high / low))];
  const [toPreferred, fromPreferred] = range(0.02, 0.4), [toWidth, fromWidth] = range(0.02, 0.4);
  const sliders = {
    contrast: slider("contrast", 5, 100, value => { now.contrast = value / 100; tell(); soon(); }),
    noise: slider("noise", 0, 100, value => { now.noise = value / 100; tell(); soon(); }),
    std: slider("std of places", 0, 100, value => { now.std = kept[now.size] = Math.round(value / 100 * data.fields[now.size].std); tell(); soon(); }),
    preferred: slider("frequency", 0, 100, value => { now.preferred = toPreferred(value); tell(); soon(); }),
    bandwidth: slider("bandwidth", 0, 100, value => { now.bandwidth = toWidth(value); tell(); soon(); }),
  };
  function tell() {
    sliders.contrast.tell(Math.round(100 * now.contrast), percentage(now.contrast));
    sliders.noise.tell(Math.round(100 * now.noise), now.noise.toFixed(2));
    sliders.std.tell(Math.round(100 * now.std / data.fields[now.size].std), `std ${now.std} px`);
    sliders.preferred.tell(fromPreferred(now.preferred), `${frequency(now.preferred)} cycles/px`);
    sliders.bandwidth.tell(fromWidth(now.bandwidth), `${frequency(now.bandwidth)} cycles/px`);
    start.textContent = trial ? "Stop" : "Measure your own threshold";
    answers.hidden = !trial;
    another.disabled = sliders.contrast.box.querySelector("input").disabled = Boolean(trial);
  }
  const another = html("button", {type: "button", class: "explorer-button"}, "Draw another stimulus");
  another.addEventListener("click", () => {
    const draws = tensors.random(now.seed + 1);
    now.seed += 1;
    now.digit = Math.floor(10 * draws.uniform());
    soon();
  });
  const reveal = html("input", {type: "checkbox"});
  reveal.checked = true;
  reveal.addEventListener("change", () => { now.shown = reveal.checked; soon(); });
  const sizes = Object.keys(data.fields).map(Number);
  const titled = (title, element) => html("div", {class: "task-titled"}, html("span", {}, title), element);
  live.append(
    choice(root, "field", sizes.map(n => `${n} × ${n}`), sizes.indexOf(now.size), k => { now.size = sizes[k]; now.std = kept[now.size]; tell(); soon(); }),
    html("div", {class: "task"}, scene, html("div", {class: "task-side"}, titled("texture: amplitude of its spectrum", curve), titled("where the digit may be", places))),
    said, answers,
    html("div", {class: "explorer-row explorer-tools"}, another, start, html("label", {}, reveal, "show the digit's frame")),
    ...Object.values(sliders).map(each => each.box));
  root.show = change => { Object.assign(now, change); tell(); draw(); };
  tell();
  draw();
  new ResizeObserver(soon).observe(scene);
  new MutationObserver(soon).observe(document.documentElement, {attributes: true, attributeFilter: ["data-theme"]});
};
