/* Explorers: networks that the course has trained, run by the page itself, without a kernel or a server.

   An element with data-explorer="plane" holds a still picture until it comes into view. Then a script with the network
   is loaded, explorers/plane.js, which `tools/explorers.py` has written, and controls take the place of the picture.
   Another explorer is a function below that returns its parts, an entry in EXPLORERS there and in BUILD here. */
"use strict";

globalThis.explorers = (() => {
  // ---- Networks ----------------------------------------------------------------------------------------------------

  const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

  /** Bytes in half precision, each number a sign, 5 bits of exponent and 10 of mantissa, as numbers. */
  function halves(bytes) {
    const units = Float64Array.from({ length: 32 }, (_, exponent) => 2 ** (Math.max(exponent, 1) - 25));
    return Float32Array.from({ length: bytes.length / 2 }, (_, i) => {
      const high = bytes[2 * i + 1], exponent = (high >> 2) & 31;
      const size = units[exponent] * ((exponent ? 1024 : 0) + ((high & 3) << 8) + bytes[2 * i]);
      return high >> 7 ? -size : size;
    });
  }

  /** Σ a[i + n] b[j + n] over n < count, in four sums that the processor can add at the same time. */
  function dot(a, i, b, j, count) {
    let s = 0, t = 0, u = 0, v = 0, n = 0;
    for (; n + 3 < count; n += 4) {
      s += a[i + n] * b[j + n];
      t += a[i + n + 1] * b[j + n + 1];
      u += a[i + n + 2] * b[j + n + 2];
      v += a[i + n + 3] * b[j + n + 3];
    }
    for (; n < count; n++) s += a[i + n] * b[j + n];
    return s + t + u + v;
  }

  const ACTIVATIONS = {
    relu: (x) => Math.max(x, 0),
    sigmoid: (x) => 1 / (1 + Math.exp(-x)),
    silu: (x) => x / (1 + Math.exp(-x)),
  };

  /* Kind of a node -> function of the node, the values that it reads, the network, and the network's inputs.
     Images are flat, in the order of rows, columns and channels. */
  const KINDS = {
    input: (node, read, network, inputs) => Float32Array.from(inputs[node.index]),
    one_hot: (node, [label]) => Float32Array.from({ length: node.count }, (_, i) => Number(i === label[0])),
    concatenate: (node, read) => Float32Array.from(read.flatMap((part) => [...part])),
    activation: (node, [x]) => x.map(ACTIVATIONS[node.function]),

    dense(node, [x], { kernels, units }) {
      const sums = units.slice(...node.bias), [first] = node.kernel, [scale] = node.scale;
      return sums.map((bias, unit) => (
        bias + units[scale + unit] * dot(x, 0, kernels, first + unit * x.length, x.length)
      ));
    },

    /** Each pixel of the input adds its channels, weighted by the kernel, to size × size pixels of the output. */
    transposed_convolution(node, [x], { kernels, units }) {
      const { size, stride, cut } = node;
      const [height, width, channels] = node.input, [rows, columns, filters] = node.output;
      const scale = units.slice(...node.scale), bias = units.slice(...node.bias);
      const sums = new Float32Array(rows * columns * filters);
      for (let pixel = 0; pixel < height * width; pixel++) {
        const top = Math.floor(pixel / width) * stride - cut, left = (pixel % width) * stride - cut;
        for (let place = 0; place < size * size; place++) {
          const row = top + Math.floor(place / size), column = left + (place % size);
          if (row < 0 || row >= rows || column < 0 || column >= columns) continue;
          const to = (row * columns + column) * filters;
          let from = node.kernel[0] + place * filters * channels;
          for (let filter = 0; filter < filters; filter++, from += channels) {
            sums[to + filter] += dot(x, pixel * channels, kernels, from, channels);
          }
        }
      }
      return sums.map((sum, i) => bias[i % filters] + scale[i % filters] * sum);
    },
  };

  /** The output of a network, flat, for one example; `inputs` has an array for each input. */
  function run(network, inputs) {
    const values = [];
    for (const node of network.nodes) {
      const read = node.from.map((number) => values[number]);
      values.push(KINDS[node.kind](node, read, network, inputs));
    }
    return values[values.length - 1];
  }

  /** A function that returns the next standard normal numbers, the same ones on every visit: Park and Miller's
      generator, then Box and Muller's transformation. */
  function normals() {
    let state = 314159;
    const uniform = () => (state = (48271 * state) % 2147483647) / 2147483647;
    const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    return (count) => Array.from({ length: count }, normal);
  }

  // ---- Parts of a page ---------------------------------------------------------------------------------------------

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  /** A canvas for images of shape (height, width, channels) with pixels in [0, 1], and `paint`, which shows one. */
  function picture([height, width, channels], label) {
    const canvas = make("canvas", { class: "explorer-picture", height, width, role: "img", "aria-label": label });
    const context = canvas.getContext("2d"), image = context.createImageData(width, height);
    const paint = (pixels) => {
      for (let i = 0; i < image.data.length; i++) {
        const channel = i % 4, pixel = (i - channel) / 4;
        image.data[i] = channel === 3 ? 255 : 255 * pixels[pixel * channels + Math.min(channel, channels - 1)];
      }
      context.putImageData(image, 0, 0);
    };
    return { canvas, paint };
  }

  /** A slider with its value beside it; `words` says the value, also to a screen reader. */
  function slider(label, [min, max], step, change, words) {
    const input = make("input", { type: "range", min, max, step });
    const shown = make("span", { class: "explorer-value", "aria-hidden": "true" });
    const say = () => {
      shown.textContent = words(Number(input.value));
      input.setAttribute("aria-valuetext", shown.textContent);
    };
    input.addEventListener("input", () => (say(), change()));
    return {
      element: make("label", { class: "explorer-slider" }, make("span", {}, label), input, shown),
      get value() { return Number(input.value); },
      set value(value) { input.value = value; say(); },
      get text() { return `${label.toLowerCase()} ${shown.textContent}`; },
    };
  }

  function button(label, press) {
    const element = make("button", { type: "button", class: "explorer-button" }, label);
    element.addEventListener("click", press);
    return element;
  }

  const signed = (value) => value.toFixed(2).replace("-", "−");

  // ---- Explorers ---------------------------------------------------------------------------------------------------
  // Each takes its data and a function to call after a change, and returns pictures, controls, and `draw`, which draws
  // the pictures anew and returns the live text.

  const LIMIT = 3, TILES = 20;  // of the plane, in standard deviations of the prior; tiles along each side

  function plane({ network }, change) {
    const [height, width] = network.shape, decode = (x, y) => run(network, [[x, y]]);
    const digit = picture(network.shape, "The digit that the decoder makes of this point");
    const tiles = make("canvas", { height: TILES * height, width: TILES * width });
    const handle = make("span", { class: "explorer-handle" });
    const label = "Map of the plane. Drag the ring, or move it with the arrow keys.";
    const map = make("div", { class: "explorer-map", tabindex: 0, role: "application", "aria-label": label }, tiles);
    const circles = [1, 2, 3].map((radius) => `<circle r="${radius - 0.015}"/>`).join("");
    map.insertAdjacentHTML("beforeend", `<svg viewBox="-3 -3 6 6" aria-hidden="true">${circles}</svg>`);
    map.append(handle);
    const axes = ["z₁", "z₂"].map((name) => slider(name, [-LIMIT, LIMIT], 0.05, change, signed));
    const move = (x, y) => (([axes[0].value, axes[1].value] = [x, y]), change());
    move(0.5, 0.5);

    const drag = (event) => {
      const box = map.getBoundingClientRect();
      const share = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      move((2 * share[0] - 1) * LIMIT, (1 - 2 * share[1]) * LIMIT);
    };
    map.addEventListener("pointerdown", (event) => (map.setPointerCapture(event.pointerId), drag(event)));
    map.addEventListener("pointermove", (event) => map.hasPointerCapture(event.pointerId) && drag(event));
    map.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowDown: [0, -0.1], ArrowUp: [0, 0.1] }[event.key];
      if (!step) return;
      event.preventDefault();  // the page does not scroll
      move(axes[0].value + step[0], axes[1].value + step[1]);
    });

    // One row of tiles between two frames, so that the page does not stand still.
    const tile = picture(network.shape, ""), paper = tiles.getContext("2d");
    const row = (number) => {
      for (let column = 0; column < TILES; column++) {
        const place = [column, TILES - 1 - number].map((index) => (LIMIT * (2 * index - TILES + 1)) / TILES);
        tile.paint(decode(...place));
        paper.drawImage(tile.canvas, column * width, number * height);
      }
      if (number + 1 < TILES) requestAnimationFrame(() => row(number + 1));
    };
    requestAnimationFrame(() => row(0));

    const draw = () => {
      const [x, y] = axes.map((axis) => axis.value);
      digit.paint(decode(x, y));
      handle.style.left = `${50 * (1 + x / LIMIT)}%`;
      handle.style.top = `${50 * (1 - y / LIMIT)}%`;
      const away = `${Math.hypot(x, y).toFixed(1)} standard deviations from the center`;
      return `${axes.map((axis) => axis.text).join(", ")}: ${away}`;
    };
    return { pictures: [map, digit.canvas], controls: axes.map((axis) => axis.element), draw };
  }

  const WORDS = {
    hair_color: ["Hair", "black", "brown", "blond"],
    sunglasses: ["Sunglasses", "none", "half", "dark"],
    smile: ["Smile", "sad", "straight", "happy"],
    skin_tone: ["Skin", "light", "medium", "dark"],
  };

  function faces({ network, codes, attributes }, change) {
    const face = picture(network.shape, "The face that the decoder makes of this code");
    let chosen = 0;
    const sliders = attributes.map(({ name, limits: [low, high] }) => {
      const [label, ...words] = WORDS[name];
      const word = (value) => words[Math.round(((value - low) / (high - low)) * (words.length - 1))];
      return slider(label, [low, high], 0.01, change, (value) => `${signed(value)} ${word(value)}`);
    });
    const choose = (number) => {
      chosen = number % codes.length;
      sliders.forEach((one, k) => (one.value = attributes[k].values[chosen]));
      change();
    };
    choose(0);
    const draw = () => {
      const code = codes[chosen].slice();
      attributes.forEach(({ direction, values }, k) => {
        direction.forEach((part, i) => (code[i] += (sliders[k].value - values[chosen]) * part));
      });
      face.paint(run(network, [code]));
      return `Face ${chosen + 1} of ${codes.length}: ${sliders.map((one) => one.text).join(", ")}`;
    };
    const controls = [...sliders.map((one) => one.element), button("Another face", () => choose(chosen + 1))];
    return { pictures: [face.canvas], controls, draw };
  }

  function classes({ network, latentDim }, change) {
    const count = network.nodes.find((node) => node.kind === "one_hot").count;
    const large = picture(network.shape, "The digit that you have chosen");
    const row = Array.from({ length: count }, (_, digit) => picture(network.shape, `A ${digit} in this style`));
    const choices = row.map((one, digit) => {
      const radio = make("input", { type: "radio", name: "explorer-digit", value: digit, "aria-label": digit });
      radio.checked = digit === 3;
      radio.addEventListener("change", change);
      return make("label", {}, radio, one.canvas, make("span", { "aria-hidden": "true" }, digit));
    });
    const digits = make("fieldset", { class: "explorer-row" }, make("legend", {}, "Choose a digit"), ...choices);
    const angle = slider("Turn the style", [-180, 180], 1, change, (value) => `${value}°`.replace("-", "−"));
    const draws = normals();
    let style = 0, start, end;
    const another = () => {
      style += 1;
      [start, end] = [draws(latentDim), draws(latentDim)];
      angle.value = 0;
      change();
    };
    another();
    const draw = () => {
      const turned = (angle.value * Math.PI) / 180, chosen = digits.querySelector(":checked").value;
      const z = start.map((value, i) => Math.cos(turned) * value + Math.sin(turned) * end[i]);
      row.forEach((one, digit) => {
        const pixels = run(network, [z, [digit]]);
        one.paint(pixels);
        if (digit === Number(chosen)) large.paint(pixels);
      });
      return `Digit ${chosen}, style ${style}, turned by ${angle.value}°`.replace("-", "−");
    };
    return { pictures: [large.canvas, digits], controls: [angle.element, button("Another style", another)], draw };
  }

  const BUILD = { plane, faces, classes };

  // ---- On the page -------------------------------------------------------------------------------------------------

  const found = {};  // name -> data

  function add(name, data) {
    data.network.kernels = halves(bytesOf(data.network.kernels));
    data.network.units = new Float32Array(bytesOf(data.network.units).buffer);
    found[name] = data;
  }

  /** Put an explorer, whose data are loaded, into an element; the function that draws it anew. */
  function show(root, name) {
    const live = make("output", { class: "explorer-text", "aria-live": "polite" });
    let waiting = true;
    const frame = () => {
      waiting = false;
      live.textContent = draw();
    };
    // Several moves between two frames of the screen are one.
    const change = () => waiting || ((waiting = true), requestAnimationFrame(frame));
    const { pictures, controls, draw } = BUILD[name](found[name], change);
    root.replaceChildren(
      make("div", { class: "explorer-pictures" }, ...pictures),
      make("div", { class: "explorer-controls" }, ...controls, live),
    );
    frame();
    return frame;
  }

  function load(root, folder) {
    const name = root.dataset.explorer, script = make("script", { src: `${folder}explorers/${name}.js` });
    root.setAttribute("aria-busy", "true");
    script.addEventListener("load", () => show(root, name));
    script.addEventListener("error", () => root.append("This explorer could not be loaded: reload the page."));
    for (const end of ["load", "error"]) script.addEventListener(end, () => root.removeAttribute("aria-busy"));
    document.head.append(script);
  }

  if (typeof document !== "undefined") {
    const folder = document.currentScript.src.replace(/[^/]*$/, "");
    const observer = new IntersectionObserver((entries) => {
      for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
        observer.unobserve(target);
        load(target, folder);
      }
    }, { rootMargin: "300px" });
    document.querySelectorAll("[data-explorer]").forEach((root) => observer.observe(root));
  }

  return { add, show, run: (name, inputs) => run(found[name].network, inputs) };
})();
