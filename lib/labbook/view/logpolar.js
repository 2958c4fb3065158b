// Log-polar retinas for the explorers: the filters are made in the page from their equations (see `retina.py`), applied to
// scenes, and inverted. Needs tensors.js. The numbers are PyTorch's (tests/test_logpolar.py holds them to 1e-3).
//
// Convention
//   scene     Float32Array (128 x 128), row-major, grey is 0: the fixation is pixel (64, 64)
//   features  as in `retina.py`, and relative to those of a grey scene
//
// A quarter of the filters suffices: a filter a quarter turn further round is the same filter on a scene turned back. With
// the scene split into its parts that a quarter turn multiplies by 1, -1 and i, each part meets its share of the filters on
// a quarter of the pixels, which takes three eighths of the products.
//
//   logpolar.retina(data)            an object of
//     steps                          how many steps its set-up takes; prepare(k) does step k, 0 <= k < steps
//     forward(scene)                 features
//     adjoint(features)              scene
//     inverse(features)              an iteration towards the regularised inverse: {scene(), step(), error}
//   data: kind, n (features), parts; channels (n features in rows of one channel: index), weight (per channel), ridge,
//         blocks (packed: Cholesky factors of the inverse of the circulant average of the Gram matrix); without blocks, channels,
//         weight and ridge there are neither adjoint nor inverse

const logpolar = (() => {
  const SIZE = 128;

  // ---- a set of filters on a grid of n x n samples about its middle, `half` of them on either side

  function bank(n, half, number) {
    const width = 2 * half + 1, whole = width > n, edge = whole ? n : width, middle = whole ? n / 2 : half;
    const wrap = k => whole ? (k + n) % n : k;
    const turn = at => {  // a quarter turn about the middle: (a, b) -> (-b, a)
      const a = Math.floor(at / edge) - middle, b = at % edge - middle;
      return wrap(-b + middle) * edge + wrap(a + middle);
    };
    const orbits = [], seen = new Uint8Array(edge * edge);
    for (let at = 0; at < edge * edge; at++) {
      if (seen[at]) continue;
      const orbit = [at, turn(at), turn(turn(at)), turn(turn(turn(at)))];
      orbit.forEach(each => { seen[each] = 1; });
      orbits.push(orbit);
    }
    const size = orbits.length;
    const index = [0, 1, 2, 3].map(q => Int32Array.from(orbits, orbit => orbit[q]));
    const share = Float32Array.from(orbits, orbit => new Set(orbit).size / 4);
    const [even, odd, real, imaginary] = [1, 2, 3, 4].map(() => new Float32Array(number * size));
    const [x0, x2, xr, xi] = [1, 2, 3, 4].map(() => new Float32Array(size));
    const [p0, p1, p2, p3] = index;

    return {
      edge, number, middle,
      set(k, kernel) {  // kernel: of the whole patch, edge x edge
        for (let u = 0, at = k * size; u < size; u++, at++) {
          const a = kernel[p0[u]], b = kernel[p1[u]], c = kernel[p2[u]], d = kernel[p3[u]], s = share[u];
          even[at] = s * (a + b + c + d);
          odd[at] = s * (a - b + c - d);
          real[at] = s * (a - c);
          imaginary[at] = s * (b - d);
        }
      },
      apply(patch, out, place) {  // out[place(k, q)]: the filter k, q quarter turns round
        for (let u = 0; u < size; u++) {
          const a = patch[p0[u]], b = patch[p1[u]], c = patch[p2[u]], d = patch[p3[u]];
          x0[u] = a + b + c + d;
          x2[u] = a - b + c - d;
          xr[u] = a - c;
          xi[u] = d - b;
        }
        for (let k = 0, at = 0; k < number; k++) {
          let s0 = 0, s2 = 0, r = 0, i = 0;
          for (let u = 0; u < size; u++, at++) {
            const kr = real[at], ki = imaginary[at], vr = xr[u], vi = xi[u];
            s0 += even[at] * x0[u];
            s2 += odd[at] * x2[u];
            r += kr * vr - ki * vi;
            i += kr * vi + ki * vr;
          }
          out[place(k, 0)] = (s0 + s2 + 2 * r) / 4;
          out[place(k, 1)] = (s0 - s2 - 2 * i) / 4;
          out[place(k, 2)] = (s0 + s2 - 2 * r) / 4;
          out[place(k, 3)] = (s0 - s2 + 2 * i) / 4;
        }
      },
      adjoint(features, place) {  // the patch; the next call overwrites it
        x0.fill(0); x2.fill(0); xr.fill(0); xi.fill(0);
        for (let k = 0, at = 0; k < number; k++) {
          const a = features[place(k, 0)], b = features[place(k, 1)], c = features[place(k, 2)], d = features[place(k, 3)];
          const s0 = (a + b + c + d) / 4, s2 = (a - b + c - d) / 4, r = (a - c) / 2, i = (d - b) / 2;
          for (let u = 0; u < size; u++, at++) {
            const kr = real[at], ki = imaginary[at];
            x0[u] += s0 * even[at];
            x2[u] += s2 * odd[at];
            xr[u] += kr * r + ki * i;
            xi[u] += kr * i - ki * r;
          }
        }
        const patch = new Float32Array(edge * edge);
        for (let u = 0; u < size; u++) {
          patch[p0[u]] += x0[u] + x2[u] + xr[u];
          patch[p1[u]] += x0[u] - x2[u] - xi[u];
          patch[p2[u]] += x0[u] + x2[u] - xr[u];
          patch[p3[u]] += x0[u] - x2[u] + xi[u];
        }
        return patch;
      },
    };
  }

  // ---- the equations

  const tau = 2 * Math.PI;
  // the band-limiting mask of the SLIP library, for images of n x n pixels; f in cycles per pixel
  const mask = (f, n) => f < 0.5 ? (1 - Math.exp((f - 0.5) / 0.035)) * (1 - Math.exp(-0.5 * (f * n / 0.5) ** 2)) : 0;
  const lobe = (angle, orientation, width) => Math.exp((Math.cos(angle - orientation) - 1) / width ** 2);
  const whiten = f => f ** 1.4 * Math.exp(-((f / 0.4) ** 4));

  // Calls act(i, j, row and column frequency, radius, angle) for every frequency of an n x n grid in FFT order; the
  // radius at 0 is 1e-6, as in SLIP.
  function frequencies(n, act) {
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
      const down = (i < n / 2 ? i : i - n) / n, right = (j < n / 2 ? j : j - n) / n;
      act(i * n + j, down, right, Math.hypot(down, right) || 1e-6, Math.atan2(right, down));
    }
  }

  // ---- the two kinds of retina

  // part: orientations, azimuths, phases, b_theta, b_sf, radii, frequencies, rings: [{n, half}], gains (rings, azimuths / 4,
  // orientations, phases): 1 / the largest value of each filter.
  function whatwhere({part}, gains) {
    const quarter = part.azimuths / 4, per = part.orientations * part.phases;
    const banks = part.rings.map(({n, half}) => bank(n, half, quarter * per));
    const mean = (() => { let total = 0; frequencies(SIZE, (at, d, r, f) => { total += whiten(f); }); return total / SIZE ** 2; })();
    const coarse = Math.min(...part.rings.map(({n}) => n));
    const down = Float32Array.from({length: coarse * SIZE}, (_, at) => {  // band-limited samples, one per 128 / n pixels
      const t = (Math.floor(at / SIZE) - (coarse - 1) / 2) * SIZE / coarse + SIZE / 2 - at % SIZE, phase = Math.PI * t / SIZE;
      return Math.abs(Math.sin(phase)) < 1e-9 ? coarse / SIZE : Math.sin(coarse * phase) / Math.sin(phase) / SIZE;
    });
    const up = new Float32Array(down.length);
    for (let u = 0; u < coarse; u++) for (let m = 0; m < SIZE; m++) up[m * coarse + u] = down[u * SIZE + m];
    const matrix = (rows, columns, data) => tensors.tensor([rows, columns], data);
    const D = matrix(coarse, SIZE, down), U = matrix(SIZE, coarse, up);
    const place = ring => (k, q) => {
      const phase = k % part.phases, orientation = Math.floor(k / part.phases) % part.orientations, azimuth = Math.floor(k / per);
      return ((orientation * part.azimuths + azimuth + q * quarter) * part.rings.length + ring) * part.phases + phase;
    };
    const places = part.rings.map((_, ring) => place(ring));

    const nyquist = SIZE / 2;  // frequencies are counted in steps of 1 / 128, from -64 to 63
    let last = -1, band = null, count = 0;  // of one ring: rows [i, j, gain, cosine, sine of the angle] of what matters
    function ringBand(ring) {
      const {n} = part.rings[ring], limit = n === SIZE ? nyquist : (n - 1) / 2;
      last = ring; band = new Float64Array(5 * SIZE ** 2); count = 0;
      frequencies(SIZE, (at, fd, fr, f, angle) => {
        const i = Math.round(fd * SIZE), j = Math.round(fr * SIZE);
        if (f >= 0.5 || Math.abs(i) > limit || Math.abs(j) > limit) return;
        const width = Math.log(f / part.frequencies[ring]) / part.b_sf;
        const gain = mask(f, SIZE) / f * Math.exp(-0.5 * width ** 2) * whiten(f) / mean;
        if (gain > 1e-9) band.set([i, j, gain, Math.cos(angle), Math.sin(angle)], 5 * count++);
      });
    }
    const wave = (centre, n) => {  // of every frequency, from the first sample of the grid on
      const first = n === SIZE ? -SIZE / 2 : -(n - 1) / 2 * SIZE / n, out = new Float64Array(2 * SIZE);
      for (let k = 0; k < SIZE; k++) {
        out[2 * k] = Math.cos(-tau * (k - nyquist) / SIZE * (centre - first));
        out[2 * k + 1] = Math.sin(-tau * (k - nyquist) / SIZE * (centre - first));
      }
      return out;
    };
    const cosines = Float64Array.from({length: coarse}, (_, k) => Math.cos(tau * k / coarse));
    const sines = Float64Array.from({length: coarse}, (_, k) => Math.sin(tau * k / coarse));

    // The inverse transform on the coarse grid of a spectrum that is zero but for few entries.
    function sparse(spectrum, imaginary, re, im) {
      const n = coarse;
      for (let i = 0; i < n; i++) {
        const x = new Float64Array(n), y = new Float64Array(n);
        let empty = true;
        for (let j = 0; j < n; j++) {
          const a = spectrum[i * n + j] / n ** 2, b = imaginary[i * n + j] / n ** 2;
          if (!a && !b) continue;
          empty = false;
          for (let u = 0, k = 0; u < n; u++, k = (k + j) % n) {
            x[u] += a * cosines[k] - b * sines[k];
            y[u] += a * sines[k] + b * cosines[k];
          }
        }
        if (empty) continue;
        for (let v = 0, k = 0; v < n; v++, k = (k + i) % n) {
          const c = cosines[k], s = sines[k];
          for (let u = 0, at = v * n; u < n; u++, at++) {
            re[at] += x[u] * c - y[u] * s;
            im[at] += x[u] * s + y[u] * c;
          }
        }
      }
    }

    // Step k: the filters of one ring at one azimuth.
    function prepare(step) {
      const ring = Math.floor(step / quarter), azimuth = step % quarter;
      const {n} = part.rings[ring], psi = (azimuth + 0.5 * (ring % 2)) * tau / part.azimuths;
      const {edge} = banks[ring], skip = n === SIZE ? SIZE / 2 - (edge - 1) / 2 : 0;
      if (ring !== last) ringBand(ring);
      const down = wave(part.radii[ring] * Math.cos(psi), n), right = wave(part.radii[ring] * Math.sin(psi), n);
      for (let o = 0; o < part.orientations; o++) {
        const turn = o * Math.PI / part.orientations + psi, c = Math.cos(turn), s = Math.sin(turn);
        let re = new Float64Array(n * n), im = new Float64Array(n * n);
        for (let k = 0; k < 5 * count; k += 5) {
          const exponent = (c * band[k + 3] + s * band[k + 4] - 1) / part.b_theta ** 2;
          if (exponent < -14) continue;
          const value = band[k + 2] * Math.exp(exponent), i = band[k], j = band[k + 1];
          const p = 2 * (i + nyquist), q = 2 * (j + nyquist), at = (i + n) % n * n + (j + n) % n;
          re[at] = value * (down[p] * right[q] - down[p + 1] * right[q + 1]);
          im[at] = value * (down[p] * right[q + 1] + down[p + 1] * right[q]);
        }
        if (n === SIZE) tensors.fft2(re, im, n, n, true);
        else {
          const x = new Float64Array(n * n), y = new Float64Array(n * n);
          sparse(re, im, x, y);
          [re, im] = [x, y];
        }
        for (let phase = 0; phase < part.phases; phase++) {
          const from = phase ? im : re, kernel = new Float64Array(edge * edge);
          const k = (azimuth * part.orientations + o) * part.phases + phase;
          const gain = gains.data[(ring * quarter + azimuth) * per + o * part.phases + phase];  // (128 / n)^2 cancels
          for (let i = 0; i < edge; i++) for (let j = 0; j < edge; j++)
            kernel[i * edge + j] = gain * from[(i + skip) * n + j + skip];
          banks[ring].set(k, kernel);
        }
      }
    }

    function patch(scene, small, ring) {
      const {edge} = banks[ring];
      if (part.rings[ring].n < SIZE) return small;
      const out = new Float32Array(edge * edge), first = SIZE / 2 - (edge - 1) / 2;
      for (let i = 0; i < edge; i++) out.set(scene.subarray((i + first) * SIZE + first, (i + first) * SIZE + first + edge), i * edge);
      return out;
    }

    return {
      steps: part.rings.length * quarter, prepare,
      forward(scene, out) {
        const small = tensors.matmul(tensors.matmul(D, matrix(SIZE, SIZE, scene)), U).data;
        banks.forEach((each, ring) => each.apply(patch(scene, small, ring), out, places[ring]));
      },
      adjoint(features, out) {
        const small = new Float32Array(coarse * coarse);
        banks.forEach((each, ring) => {
          const back = each.adjoint(features, places[ring]), {edge} = each;
          if (part.rings[ring].n < SIZE) { for (let k = 0; k < small.length; k++) small[k] += back[k]; return; }
          const first = SIZE / 2 - (edge - 1) / 2;
          for (let i = 0; i < edge; i++) for (let j = 0, at = (i + first) * SIZE + first; j < edge; j++) out[at + j] += back[i * edge + j];
        });
        const large = tensors.matmul(tensors.matmul(U, matrix(coarse, coarse, small)), D).data;
        for (let k = 0; k < out.length; k++) out[k] += large[k];
      },
    };
  }

  // Halve an image by averaging 2 x 2 pixels, double it by bilinear interpolation, and the transposes of both.
  function halve(image, n) {
    const m = n / 2, out = new Float32Array(m * m);
    for (let i = 0; i < m; i++) for (let j = 0; j < m; j++) {
      const at = 2 * i * n + 2 * j;
      out[i * m + j] = (image[at] + image[at + 1] + image[at + n] + image[at + n + 1]) / 4;
    }
    return out;
  }
  const halved = (small, n) => {
    const out = new Float32Array(n * n), m = n / 2;
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) out[i * n + j] = small[(i >> 1) * m + (j >> 1)] / 4;
    return out;
  };
  // Sample k of a doubled row: 3/4 of sample k >> 1 and 1/4 of its other neighbour, which the edge repeats.
  const other = (k, m) => Math.min(m - 1, Math.max(0, k % 2 ? (k >> 1) + 1 : (k >> 1) - 1));
  function double(small, n) {
    const m = n / 2, rows = new Float32Array(m * n), out = new Float32Array(n * n);
    for (let j = 0; j < n; j++) for (let i = 0, a = j >> 1, b = other(j, m); i < m; i++)
      rows[i * n + j] = 0.75 * small[i * m + a] + 0.25 * small[i * m + b];
    for (let i = 0; i < n; i++) for (let j = 0, a = (i >> 1) * n, b = other(i, m) * n; j < n; j++)
      out[i * n + j] = 0.75 * rows[a + j] + 0.25 * rows[b + j];
    return out;
  }
  function doubled(image, n) {
    const m = n / 2, rows = new Float32Array(m * n), out = new Float32Array(m * m);
    for (let i = 0; i < n; i++) for (let j = 0, a = (i >> 1) * n, b = other(i, m) * n; j < n; j++) {
      rows[a + j] += 0.75 * image[i * n + j];
      rows[b + j] += 0.25 * image[i * n + j];
    }
    for (let j = 0; j < n; j++) for (let i = 0, a = j >> 1, b = other(j, m); i < m; i++) {
      out[i * m + a] += 0.75 * rows[i * n + j];
      out[i * m + b] += 0.25 * rows[i * n + j];
    }
    return out;
  }

  // parts: width, levels, rings, azimuths, orientations, radii (pixels of the crop), b_theta, one after the other.
  function pyramid({parts}) {
    const made = [];
    let first = 0;
    for (const part of parts) {
      const quarter = part.azimuths / 4, number = quarter * part.rings * part.orientations, begin = first;
      // (orientation, level, ring, azimuth)
      const place = level => (k, q) => {
        const orientation = k % part.orientations, ring = Math.floor(k / part.orientations) % part.rings;
        const azimuth = Math.floor(k / part.orientations / part.rings) + q * quarter;
        return begin + ((orientation * part.levels + level) * part.rings + ring) * part.azimuths + azimuth;
      };
      made.push({part, quarter, filters: bank(part.width, part.width / 2, number), places: Array.from({length: part.levels}, (_, l) => place(l))});
      first += part.orientations * part.levels * part.rings * part.azimuths;
    }
    const steps = made.flatMap(each => Array.from({length: each.quarter * each.part.rings}, (_, k) => [each, k]));
    const deepest = Math.max(...parts.map(part => part.levels));

    // Step k: the filters of one ring at one azimuth, of all orientations.
    function prepare(step) {
      const [{part, filters}, k] = steps[step], n = part.width;
      const ring = k % part.rings, psi = (Math.floor(k / part.rings) + 0.5 * (ring % 2)) * tau / part.azimuths;
      const row = n / 2 + part.radii[ring] * Math.cos(psi), column = n / 2 + part.radii[ring] * Math.sin(psi);
      for (let o = 0; o < part.orientations; o++) {
        const re = new Float64Array(n * n), im = new Float64Array(n * n), turn = o * Math.PI / part.orientations + psi;
        frequencies(n, (at, fd, fr, f, angle) => {
          const gain = mask(f, n) / f * lobe(angle, turn, part.b_theta), phase = -tau * (fd * row + fr * column);
          re[at] = gain * Math.cos(phase);
          im[at] = gain * Math.sin(phase);
        });
        tensors.fft2(re, im, n, n, true);
        const sorted = Float64Array.from(re).sort(), median = (sorted[n * n / 2 - 1] + sorted[n * n / 2]) / 2;
        const peak = re.reduce((most, each) => Math.max(most, Math.abs(each - median)), 0);
        filters.set(k * part.orientations + o, re.map(each => (each - median) / peak));
      }
    }

    const central = (image, n, width) => {
      const out = new Float32Array(width * width), from = n / 2 - width / 2;
      for (let i = 0; i < width; i++) out.set(image.subarray((i + from) * n + from, (i + from) * n + from + width), i * width);
      return out;
    };

    return {
      steps: steps.length, prepare,
      forward(scene, out) {
        const low = [scene], residual = [];  // low[l]: the scene halved l times; residual[l]: what halving it once more loses
        for (let l = 0, n = SIZE; l < deepest; l++, n /= 2) {
          low.push(halve(low[l], n));
          const back = double(low[l + 1], n);
          residual.push(low[l].map((each, k) => each - back[k]));
        }
        for (const {part, filters, places} of made) for (let l = 0; l < part.levels; l++) {
          const level = l === part.levels - 1 && part.low_pass ? low[l] : residual[l];
          filters.apply(central(level, SIZE >> l, part.width), out, places[l]);
        }
      },
      adjoint(features, out) {
        const low = [], residual = [];
        for (let l = 0; l <= deepest; l++) { low.push(new Float32Array((SIZE >> l) ** 2)); residual.push(new Float32Array((SIZE >> l) ** 2)); }
        for (const {part, filters, places} of made) for (let l = 0; l < part.levels; l++) {
          const level = l === part.levels - 1 && part.low_pass ? low[l] : residual[l];
          const n = SIZE >> l, from = n / 2 - part.width / 2, back = filters.adjoint(features, places[l]);
          for (let i = 0; i < part.width; i++) for (let j = 0; j < part.width; j++) level[(i + from) * n + j + from] += back[i * part.width + j];
        }
        for (let l = deepest - 1; l >= 0; l--) {
          const n = SIZE >> l, lost = doubled(residual[l], n), below = halved(low[l + 1].map((each, k) => each - lost[k]), n);
          for (let k = 0; k < n * n; k++) low[l][k] += residual[l][k] + below[k];
        }
        for (let k = 0; k < out.length; k++) out[k] += low[0][k];
      },
    };
  }

  // ---- the inverse

  // z = P r with P = L L^H in each angular frequency: the inverse of the average of the Gram matrix over rotations.
  function preconditioner({index, count, period}, factors) {
    const half = period / 2 + 1, cos = [], sin = [];
    for (let f = 0; f < half; f++) for (let k = 0; k < period; k++) { cos.push(Math.cos(tau * f * k / period)); sin.push(Math.sin(tau * f * k / period)); }
    const re = new Float64Array(count), im = new Float64Array(count), tr = new Float64Array(count), ti = new Float64Array(count);
    return (r, z) => {
      z.fill(0);
      for (let f = 0; f < half; f++) {
        for (let c = 0; c < count; c++) {
          let a = 0, b = 0;
          for (let k = 0; k < period; k++) { const v = r[index[c * period + k]]; a += v * cos[f * period + k]; b -= v * sin[f * period + k]; }
          re[c] = a; im[c] = b;
        }
        // factors (half, 2, count (count + 1) / 2): rows of the lower triangle, real and imaginary
        const size = count * (count + 1) / 2, real = 2 * f * size, imaginary = real + size, l = factors.data;
        tr.fill(0); ti.fill(0);
        for (let i = 0, at = 0; i < count; i++) for (let j = 0; j <= i; j++, at++) {  // L^H
          const a = l[real + at], b = -l[imaginary + at];
          tr[j] += a * re[i] - b * im[i];
          ti[j] += a * im[i] + b * re[i];
        }
        const twice = f === 0 || f === period / 2 ? 1 / period : 2 / period;
        for (let i = 0, at = 0; i < count; i++) {
          let x = 0, y = 0;
          for (let j = 0; j <= i; j++, at++) {
            const a = l[real + at], b = l[imaginary + at];
            x += a * tr[j] - b * ti[j];
            y += a * ti[j] + b * tr[j];
          }
          for (let k = 0; k < period; k++) z[index[i * period + k]] += twice * (x * cos[f * period + k] - y * sin[f * period + k]);
        }
      }
    };
  }

  // The scene x closest to grey whose features are nearly f: of all x, the least of |W (A x - f)|^2 + ridge |x|^2, by
  // preconditioned conjugate gradients on (W A A' W + ridge) y = W f, x = A' W y.
  async function retina(data) {
    const gains = data.gains && await tensors.unpack(data.gains);
    const factors = data.blocks && await tensors.unpack(data.blocks), n = data.n;
    const map = data.kind === "whatwhere" ? whatwhere(data, gains) : pyramid(data);
    const forward = scene => { const out = new Float32Array(n); map.forward(scene, out); return out; };
    if (!factors) return {steps: map.steps, prepare: map.prepare, forward};
    const condition = preconditioner(data.channels, factors);
    const weight = new Float32Array(n);
    data.channels.index.forEach((at, k) => { weight[at] = data.weight[Math.floor(k / data.channels.period)]; });
    const adjoint = features => { const out = new Float32Array(SIZE ** 2); map.adjoint(features, out); return out; };
    const weighted = features => features.map((each, k) => each * weight[k]);

    function inverse(features) {
      const r = Float64Array.from(weighted(features)), z = new Float64Array(n), first = tensors.dot(r, r) || 1;
      condition(r, z);
      const p = Float64Array.from(z), back = direction => adjoint(weighted(Float32Array.from(direction)));
      let rz = tensors.dot(r, z), along = back(p), x = null;  // along: the change of the scene in the direction p
      return {
        error: 1, steps: 0,
        scene: () => x ?? along,  // before the first step, what the preconditioner alone gives
        step() {
          along ??= back(p);
          const seen = weighted(forward(along));
          let power = 0;
          for (let k = 0; k < n; k++) power += p[k] * (seen[k] + data.ridge * p[k]);
          const length = rz / (power || 1);
          x ??= new Float32Array(SIZE ** 2);
          for (let k = 0; k < x.length; k++) x[k] += length * along[k];
          for (let k = 0; k < n; k++) r[k] -= length * (seen[k] + data.ridge * p[k]);
          condition(r, z);
          const next = tensors.dot(r, z);
          for (let k = 0; k < n; k++) p[k] = z[k] + next / (rz || 1) * p[k];
          rz = next;
          along = null;
          this.error = Math.sqrt(tensors.dot(r, r) / first);
          this.steps++;
        },
      };
    }

    return {steps: map.steps, prepare: map.prepare, forward, adjoint, inverse, weight};
  }

  return {retina};
})();

// ---- the explorer

// The retina under the reader's hand: drag the gaze over a scene, turn and enlarge the scene about it; the coefficients as
// rings x azimuths, and the scene that they keep, are computed here for every frame.
//
// data: retinas: name -> as `logpolar.retina` wants them, with title, rows: radius, azimuths, half (whether the ring is turned
// by half a step), period, sigma (pixels), scale (typical strength of a cell), part, ring; strong, the strength, in these units, that is painted brightest; digits (10, 28, 28), coded;
// start: retina, digit, offset, contrast, noise, seed, gaze.
explorers.logpolar = async (root, live, data) => {
  const SIZE = 128, MARGIN = 50, EDGE = 28, GAZE = "#d55e00", CELL = "#56b4e9", STEPS = 12, ENOUGH = 0.02, BUDGET = 20;
  const digits = await tensors.unpack(data.digits), amplitudes = tensors.spectrum(SIZE);
  const now = {...data.start, turn: 0, zoom: 1, cell: null, rings: true};
  let map = [1, 0, 0, 1, 0, 0];  // from the shown scene to the one that was composed: rows and columns from the middle
  let field, shown, seen, features, solver, kept, retina, rows, frame = 0, settled = false, building = 0;

  // ---- what is computed

  const clouds = new Map();
  function compose() {
    if (!clouds.has(now.seed)) {
      const texture = tensors.cloud(SIZE, tensors.random(now.seed), amplitudes), mean = tensors.sum(texture.data) / SIZE ** 2;
      clouds.set(now.seed, tensors.tensor([SIZE, SIZE], texture.data.map(each => each - mean)));
    }
    const ink = tensors.tensor([EDGE, EDGE], digits.data.subarray(now.digit * EDGE ** 2, (now.digit + 1) * EDGE ** 2));
    field = tensors.composeField(ink, now.offset, now.contrast, clouds.get(now.seed), now.noise).data;
    transform();
  }

  function transform() {
    const [a, b, c, d, t, u] = map;
    shown = field;
    if (a === 1 && b === 0 && c === 0 && d === 1 && t === 0 && u === 0) return;
    shown = new Float32Array(SIZE ** 2);
    const at = (i, j) => i >= 0 && i < SIZE && j >= 0 && j < SIZE ? field[i * SIZE + j] : 0.5;
    for (let i = 0, k = 0; i < SIZE; i++) for (let j = 0; j < SIZE; j++, k++) {
      const y = a * (i - 64) + b * (j - 64) + t + 64, x = c * (i - 64) + d * (j - 64) + u + 64;
      const top = Math.floor(y), left = Math.floor(x), v = y - top, w = x - left;
      shown[k] = (1 - v) * ((1 - w) * at(top, left) + w * at(top, left + 1)) + v * ((1 - w) * at(top + 1, left) + w * at(top + 1, left + 1));
    }
  }

  // Turn by an angle (radians, from down to right) and enlarge the shown scene about the gaze.
  function change(angle, factor) {
    const [a, b, c, d, t, u] = map, [y, x] = now.gaze, p = Math.cos(angle) / factor, q = Math.sin(angle) / factor;
    const shift = [y - p * y - q * x, x + q * y - p * x];  // (i, j) -> (p i + q j, -q i + p j) + shift, then the map so far
    map = [a * p - b * q, a * q + b * p, c * p - d * q, c * q + d * p, a * shift[0] + b * shift[1] + t, c * shift[0] + d * shift[1] + u];
  }

  // Where the middle of the digit is now, rows and columns from the middle of the field.
  function place() {
    const [a, b, c, d, t, u] = map, det = a * d - b * c, y = now.offset[0] - 0.5 - t, x = now.offset[1] - 0.5 - u;
    return [(d * y - b * x) / det, (a * x - c * y) / det];
  }

  const around = (image, [down, right]) => {  // laid around a point, grey beyond
    const out = new Float32Array(SIZE ** 2);
    for (let i = 0; i < SIZE; i++) for (let j = 0; j < SIZE; j++) {
      const y = i + down, x = j + right;
      if (y >= 0 && y < SIZE && x >= 0 && x < SIZE) out[i * SIZE + j] = image[y * SIZE + x] - 0.5;
    }
    return out;
  };

  function look() {
    seen = around(shown, now.gaze);
    features = retina.forward(seen);
    solver = retina.inverse(features);
    kept = solver.scene();
    settled = false;
  }

  // How alike scene and reconstruction are on the digit's 28 x 28 pixels: their correlation.
  function likeness() {
    const [y, x] = place(), top = Math.round(y - now.gaze[0]) + 64 - EDGE / 2, left = Math.round(x - now.gaze[1]) + 64 - EDGE / 2;
    let n = 0, a = 0, b = 0, aa = 0, bb = 0, ab = 0;
    for (let i = Math.max(0, top); i < Math.min(SIZE, top + EDGE); i++) for (let j = Math.max(0, left); j < Math.min(SIZE, left + EDGE); j++) {
      const p = seen[i * SIZE + j], q = kept[i * SIZE + j];
      n++; a += p; b += q; aa += p * p; bb += q * q; ab += p * q;
    }
    const spread = Math.sqrt((aa - a * a / n) * (bb - b * b / n));
    return n && spread > 1e-9 ? (ab - a * b / n) / spread : 0;
  }

  // Strength and dominant orientation of the cells of a row: of their features, weighed, over orientations and phases.
  function cells(row) {
    const one = data.retinas[now.retina], {kind} = one, part = kind === "whatwhere" ? one.part : one.parts[row.part];
    const phases = kind === "whatwhere" ? part.phases : 1;
    return Array.from({length: row.azimuths}, (_, azimuth) => {
      let power = 0, x = 0, y = 0;
      for (let o = 0; o < part.orientations; o++) for (let phase = 0; phase < phases; phase++) {
        const k = kind === "whatwhere" ? ((o * part.azimuths + azimuth) * part.rings.length + row.ring) * phases + phase
          : row.first + (o * part.levels * part.rings + row.ring) * part.azimuths + azimuth;
        const value = (features[k] * retina.weight[k]) ** 2;
        power += value;
        x += value * Math.cos(2 * Math.PI * o / part.orientations);
        y += value * Math.sin(2 * Math.PI * o / part.orientations);
      }
      return {strength: Math.sqrt(power) / row.scale, orientation: Math.atan2(y, x) / 2, sure: Math.hypot(x, y) / (power || 1)};
    });
  }

  // ---- what is drawn

  const canvas = (label, attributes) => html("canvas", {tabindex: 0, role: "application", "aria-label": label, class: "logpolar-canvas", ...attributes});
  const scene = canvas("The scene. Drag, or use the arrow keys, to move the gaze.");
  const copy = html("canvas", {class: "logpolar-canvas", role: "img", "aria-label": "What the coefficients keep of the scene"});
  const unrolled = canvas("The coefficients, rings by azimuths. Point at a cell, or use the arrow keys, to see where it looks.", {class: "logpolar-map"});
  const said = html("output", {class: "explorer-said", "aria-live": "polite"});
  const told = html("small", {class: "explorer-key"});
  const small = document.createElement("canvas");
  small.width = small.height = SIZE;

  function surface(element, height = null) {  // its pen, scaled so that it draws in CSS pixels
    const scale = window.devicePixelRatio || 1, width = element.clientWidth || 300, tall = height ?? width;
    element.width = Math.round(width * scale);
    element.height = Math.round(tall * scale);
    const pen = element.getContext("2d");
    pen.scale(scale, scale);
    return [pen, width, tall];
  }

  function picture(pen, width, value) {  // value(row, column) in [0, 1]
    const context = small.getContext("2d"), pixels = context.createImageData(SIZE, SIZE);
    for (let k = 0, at = 0; k < SIZE ** 2; k++, at += 4) {
      const grey = 255 * value(k / SIZE | 0, k % SIZE);
      pixels.data[at] = pixels.data[at + 1] = pixels.data[at + 2] = grey;
      pixels.data[at + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(small, 0, 0, width, width);
  }

  const centre = (row, azimuth) => {
    const psi = (azimuth + (row.half ? 0.5 : 0)) * 2 * Math.PI / row.azimuths;
    return [row.radius * Math.cos(psi), row.radius * Math.sin(psi)];
  };

  function overlay(pen, width) {
    const unit = width / SIZE, [down, right] = now.gaze, y = (64.5 + down) * unit, x = (64.5 + right) * unit;
    const ring = (radius, colour, thick, cy = y, cx = x) => {
      pen.beginPath();
      pen.arc(cx, cy, radius * unit, 0, 2 * Math.PI);
      Object.assign(pen, {strokeStyle: colour, lineWidth: thick});
      pen.stroke();
    };
    if (now.rings) for (const row of rows ?? []) ring(row.radius, "#ffffffa0", 1);
    for (const [colour, thick] of [["#ffffff", 4], [GAZE, 2]]) {
      pen.beginPath();
      for (const [a, b] of [[-7, 0], [0, -7]]) { pen.moveTo(x + a, y + b); pen.lineTo(x - a, y - b); }
      Object.assign(pen, {strokeStyle: colour, lineWidth: thick});
      pen.stroke();
    }
    if (!now.cell) return;
    const row = rows[now.cell[0]], [a, b] = centre(row, now.cell[1]);
    for (const [colour, thick] of [["#000000", 4], [CELL, 2]]) ring(2 * row.sigma, colour, thick, y + a * unit, x + b * unit);
  }

  const cut = value => Math.min(1, Math.max(0, value));
  const lane = () => Math.min(24, Math.max(13, 190 / rows.length));
  const LEFT = 44, BOTTOM = 32, TOP = 4;

  function drawMap() {
    const each = lane(), [pen, width] = surface(unrolled, TOP + rows.length * each + BOTTOM);
    const ink = getComputedStyle(unrolled).color, right = width - 2;
    pen.font = "11px system-ui, sans-serif";
    rows.forEach((row, r) => {
      const y = TOP + (rows.length - 1 - r) * each, step = (right - LEFT) / row.azimuths;
      cells(row).forEach(({strength, orientation, sure}, azimuth) => {
        const x = LEFT + (azimuth + (row.half ? 0.5 : 0)) * step, level = cut(strength / data.strong);
        pen.fillStyle = `hsl(${230 - 175 * level} ${55 + 30 * level}% ${14 + 58 * level}%)`;
        for (const from of x + step > right + 0.5 ? [x, x - (right - LEFT)] : [x]) {  // the last cell of a turned ring wraps round
          const begin = Math.max(LEFT, from), end = Math.min(right, from + step);
          pen.fillRect(begin, y, end - begin + 0.5, each + 0.5);
        }
        const middle = x + step / 2 > right ? x + step / 2 - (right - LEFT) : x + step / 2, length = Math.min(step, each) * 0.45 * Math.sqrt(sure) * Math.min(1, 2.5 * level);
        if (length < 1) return;
        const dx = length * Math.cos(orientation), dy = length * Math.sin(orientation);
        pen.beginPath();
        pen.moveTo(middle - dx, y + each / 2 - dy);
        pen.lineTo(middle + dx, y + each / 2 + dy);
        Object.assign(pen, {strokeStyle: level > 0.55 ? "#000000" : "#ffffff", lineWidth: 1.5});
        pen.stroke();
      });
      if (now.cell?.[0] === r) {
        const x = LEFT + (now.cell[1] + (row.half ? 0.5 : 0)) * step;
        for (const [colour, thick] of [["#000000", 4], ["#ffffff", 2]]) {
          Object.assign(pen, {strokeStyle: colour, lineWidth: thick});
          pen.strokeRect(x, y, step, each);
        }
      }
      pen.fillStyle = ink;
      pen.textAlign = "right";
      if (each > 11 && (rows.length < 9 || (rows.length - 1 - r) % 2 === 0)) pen.fillText(`${row.radius.toFixed(row.radius < 10 ? 1 : 0)} px`, LEFT - 5, y + each / 2 + 4);
    });
    pen.textAlign = "center";
    pen.fillStyle = ink;
    const bottom = TOP + rows.length * each;
    ["↓ 0°", "→ 90°", "↑ 180°", "← 270°"].forEach((label, k) => pen.fillText(label, LEFT + (k / 4) * (right - LEFT) + (k ? 0 : 12), bottom + 13));
    if (width > 500) pen.fillText("azimuth", LEFT + (right - LEFT) / 2 + 45, bottom + 13);
    pen.textAlign = "left";
    pen.fillText("ring ↑", 0, bottom + 13);
  }

  function draw() {
    let [pen, width] = surface(scene);
    picture(pen, width, (i, j) => shown[i * SIZE + j]);
    overlay(pen, width);
    if (!retina) return;
    [pen, width] = surface(copy);
    const [down, right] = now.gaze;
    picture(pen, width, (i, j) => {
      const y = i - down, x = j - right;
      return y >= 0 && y < SIZE && x >= 0 && x < SIZE ? cut(0.5 + kept[y * SIZE + x]) : 0.5;
    });
    if (now.cell) overlay(pen, width);
    drawMap();
    const [y, x] = place(), far = Math.hypot(y - now.gaze[0], x - now.gaze[1]);
    said.textContent = `Digit at eccentricity ${far.toFixed(0)} px. On its 28 × 28 pixels, scene and reconstruction correlate by ${likeness().toFixed(2)}${settled ? "" : " …"}`;
    if (now.cell) {
      const row = rows[now.cell[0]], [a, b] = centre(row, now.cell[1]), angle = (Math.atan2(b, a) * 180 / Math.PI + 360) % 360;
      told.textContent = `Blue circle: a cell at ${row.radius.toFixed(1)} px and ${angle.toFixed(0)}°, preferred period ${row.period.toFixed(1)} px; this wide, two standard deviations either way.`;
    } else told.textContent = "Point at the map to see where a cell looks. Strokes: the dominant orientation of a cell. Brighter: stronger than usual in its ring.";
  }

  // A frame: what the gaze sees and a first guess of the inverse, if anything has changed; while there is time, steps of the
  // inverse; and all is drawn.
  let changed = false;
  function update(anew = true) {
    changed ||= anew;
    frame ||= requestAnimationFrame(() => {
      const begun = performance.now();
      frame = 0;
      if (changed && retina) look();
      changed = false;
      if (solver) {
        settled = solver.steps >= STEPS || solver.error <= ENOUGH;
        while (!settled && performance.now() - begun < BUDGET) {
          solver.step();
          settled = solver.steps >= STEPS || solver.error <= ENOUGH;
        }
        kept = solver.scene();
      }
      draw();
      root.spent = performance.now() - begun;
      if (solver && !settled) update(false);
    });
  }

  function soon(act) {
    act();
    update();
  }

  const made = new Map();
  async function choose(name) {
    now.retina = name;
    now.cell = null;
    const mine = ++building;
    if (!made.has(name)) {
      const one = await logpolar.retina(data.retinas[name]);
      for (let k = 0, rest = performance.now(); k < one.steps; k++) {
        one.prepare(k);
        if (performance.now() - rest > 30) {
          if (mine === building) said.textContent = `Making ${data.retinas[name].n.toLocaleString("en-GB").replace(",", " ")} filters from their equation: ${Math.round(100 * k / one.steps)} %`;
          await new Promise(done => setTimeout(done));
          rest = performance.now();
        }
      }
      made.set(name, one);
    }
    if (mine !== building) return;
    retina = made.get(name);
    rows = data.retinas[name].rows;
    root.ready = name;
    update();
  }

  // ---- controls

  const goTo = (down, right) => soon(() => { now.gaze = [clamp(Math.round(down), -MARGIN, MARGIN), clamp(Math.round(right), -MARGIN, MARGIN)]; });
  let held = false;
  const follow = event => {
    const box = scene.getBoundingClientRect(), unit = box.width / SIZE;
    goTo((event.clientY - box.top) / unit - 64.5, (event.clientX - box.left) / unit - 64.5);
  };
  scene.addEventListener("pointerdown", event => { held = true; scene.setPointerCapture(event.pointerId); follow(event); });
  scene.addEventListener("pointermove", event => { if (held) follow(event); });
  for (const kind of ["pointerup", "pointercancel"]) scene.addEventListener(kind, () => { held = false; });
  arrows(scene, (right, down) => goTo(now.gaze[0] + 2 * down, now.gaze[1] + 2 * right));

  const select = (r, azimuth) => {
    const row = clamp(r, 0, rows.length - 1), n = rows[row].azimuths;
    now.cell = [row, (azimuth % n + n) % n];
    update(false);
  };
  pointing(unrolled, (x, y) => {
    if (!rows) return;
    const r = rows.length - 1 - Math.floor((y - TOP) / lane()), row = rows[r];
    if (!row || x < LEFT) { now.cell = null; update(false); return; }
    select(r, Math.floor((x - LEFT) / (unrolled.clientWidth - 2 - LEFT) * row.azimuths - (row.half ? 0.5 : 0)));
  });
  unrolled.addEventListener("pointerleave", () => { now.cell = null; update(false); });
  arrows(unrolled, (right, down) => rows && (now.cell ? select(now.cell[0] - down, now.cell[1] + right) : select(Math.floor(rows.length / 2), 0)));

  const sliders = {
    turn: slider("turn the scene", -180, 180, value => soon(() => { change((value - now.turn) * Math.PI / 180, 1); now.turn = value; transform(); tell(); })),
    zoom: slider("enlarge it", -8, 8, value => soon(() => { const zoom = 2 ** (value / 8); change(0, zoom / now.zoom); now.zoom = zoom; transform(); tell(); })),
    contrast: slider("contrast", 10, 100, value => soon(() => { now.contrast = value / 100; compose(); tell(); })),
    noise: slider("noise", 0, 100, value => soon(() => { now.noise = value / 100; compose(); tell(); })),
  };
  function tell() {
    sliders.turn.tell(now.turn, `${now.turn}°`.replace("-", "−"));
    sliders.zoom.tell(Math.round(8 * Math.log2(now.zoom)), `× ${now.zoom.toFixed(2)}`);
    sliders.contrast.tell(100 * now.contrast, `${Math.round(100 * now.contrast)} %`);
    sliders.noise.tell(100 * now.noise, `${Math.round(100 * now.noise)} %`);
  }
  const button = (label, act) => {
    const made = html("button", {type: "button", class: "explorer-button"}, label);
    made.addEventListener("click", () => soon(act));
    return made;
  };
  const upright = () => { map = [1, 0, 0, 1, 0, 0]; now.turn = 0; now.zoom = 1; };
  const draws = tensors.random(data.start.seed);
  const buttons = html("div", {class: "explorer-row explorer-tools"},
    button("another scene", () => {
      const angle = 2 * Math.PI * draws.uniform(), far = 40 * draws.uniform();
      Object.assign(now, {seed: now.seed + 1, digit: Math.floor(10 * draws.uniform()), offset: [Math.round(far * Math.cos(angle)), Math.round(far * Math.sin(angle))]});
      upright(); compose(); tell();
    }),
    button("look at the digit", () => { now.gaze = place().map(each => clamp(Math.round(each), -MARGIN, MARGIN)); }),
    button("upright again", () => { upright(); transform(); tell(); }));

  const card = (title, element) => html("div", {class: "explorer-card logpolar-card"}, html("span", {}, title), element);
  live.append(
    choice(root, "retina", Object.values(data.retinas).map(each => each.title), Object.keys(data.retinas).indexOf(now.retina), k => choose(Object.keys(data.retinas)[k])),
    html("div", {class: "logpolar-pair"}, card("the scene: drag the gaze", scene), card("what the coefficients keep of it", copy)),
    said, card("the coefficients: rings × azimuths", unrolled), told, ...Object.values(sliders).map(each => each.box), buttons);
  root.numbers = () => ({retina: now.retina, scene: [...seen], features: [...features], kept: [...kept], settled, spent: root.spent});
  root.go = goTo;
  compose();
  tell();
  new ResizeObserver(() => update(false)).observe(scene);
  new MutationObserver(() => update(false)).observe(document.documentElement, {attributes: true, attributeFilter: ["data-theme"]});
  new IntersectionObserver((entries, observer) => {
    if (!entries.some(each => each.isIntersecting)) return;
    observer.disconnect();
    choose(now.retina);
  }, {rootMargin: "200px"}).observe(live);
};
