// Figures for fingers and keys, scrolling by keys, and paper that is white.
// A stored figure draws itself with Plotly.newPlot, so what is added there reaches every figure of the book.
(() => {
  const TURN = 0.15; // radians for a key
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

  const scenes = figure => Object.keys(figure._fullLayout).filter(name => /^scene\d*$/.test(name));

  // One finger turns a scene and moves a slider; over a flat figure it scrolls the page, as over text.
  const forFingers = figure => {
    if (!scenes(figure).length && matchMedia("(pointer: coarse)").matches) return Plotly.relayout(figure, { dragmode: false });
  };

  const turn = (figure, across, up) => {
    const change = {};
    for (const name of scenes(figure)) {
      const { eye, up: axis } = figure._fullLayout[name]._scene.getCamera();
      const pole = axis.y > axis.z ? "y" : "z";
      const [a, b] = pole === "z" ? ["x", "y"] : ["z", "x"];
      const radius = Math.hypot(eye.x, eye.y, eye.z);
      const azimuth = Math.atan2(eye[b], eye[a]) + TURN * across;
      const height = Math.max(-1.5, Math.min(1.5, Math.asin(eye[pole] / radius) + TURN * up));
      const flat = radius * Math.cos(height);
      change[`${name}.camera.eye`] = {
        [a]: flat * Math.cos(azimuth), [b]: flat * Math.sin(azimuth), [pole]: radius * Math.sin(height),
      };
    }
    return Plotly.relayout(figure, change);
  };

  const say = figure => {
    const { steps, active = 0 } = figure.layout.sliders[0];
    figure.setAttribute("aria-valuenow", active);
    figure.setAttribute("aria-valuetext", steps[active].label);
  };

  const slide = async (figure, to) => {
    const slider = figure.layout.sliders[0], active = Math.max(0, Math.min(slider.steps.length - 1, to));
    const { method, args } = slider.steps[active];
    await Plotly[method](figure, ...args);
    if (slider.active !== active) await Plotly.relayout(figure, "sliders[0].active", active);
    say(figure);
  };

  const forKeys = figure => {
    const [slider] = figure.layout.sliders || [], solid = scenes(figure).length > 0;
    if (!slider && !solid) return;
    figure.tabIndex = 0;
    figure.dataset.keys = [slider && "← → slide", solid && (slider ? "Shift and arrows turn" : "arrows turn")].filter(Boolean).join(", ");
    if (slider) {
      figure.setAttribute("role", "slider");
      figure.setAttribute("aria-valuemin", 0);
      figure.setAttribute("aria-valuemax", slider.steps.length - 1);
      say(figure);
      figure.on("plotly_sliderchange", () => say(figure));
    }
    figure.addEventListener("keydown", event => {
      const [across, up] = ARROWS[event.key] || [0, 0], slides = slider && !event.shiftKey;
      const active = slider && (figure.layout.sliders[0].active || 0);
      if (slides && across) slide(figure, active + across);
      else if (slides && event.key === "Home") slide(figure, 0);
      else if (slides && event.key === "End") slide(figure, slider.steps.length - 1);
      else if (solid && !slides && (across || up)) turn(figure, across, up);
      else return;
      event.preventDefault();
    });
  };

  // A browser gives a page 16 WebGL contexts, on a phone 8, and takes the oldest away for a new one. A figure that has
  // lost one of its own is drawn again when the reader comes to it.
  const inView = new Set();
  const lost = figure => scenes(figure).some(name => figure._fullLayout[name]._scene.glplot?.gl.isContextLost());
  const keepDrawn = (drawn, again) => {
    const mend = async () => {
      if (!inView.has(drawn) || !lost(drawn)) return;
      await again();
      listen();
    };
    const listen = () => drawn.on("plotly_webglcontextlost", () => setTimeout(mend, 100));  // Plotly forgets who listens
    new IntersectionObserver(([{ isIntersecting }]) => {
      inView[isIntersecting ? "add" : "delete"](drawn);
      mend();
    }).observe(drawn);
    listen();
  };

  if (window.Plotly) {
    const draw = Plotly.newPlot;
    Plotly.newPlot = async (place, figure) => {
      const drawn = await draw(place, figure);
      await forFingers(drawn);
      forKeys(drawn);
      if (scenes(drawn).length) keepDrawn(drawn, async () => {
        await draw(drawn, { ...figure, data: drawn.data, layout: drawn.layout });
        if (drawn.layout.sliders) drawn.on("plotly_sliderchange", () => say(drawn));
      });
      return drawn;
    };
  }

  // What scrolls inside the page can be reached, and so scrolled, by keys. (The theme does this for code.)
  const reach = () => {
    for (const part of document.querySelectorAll(".bd-article table, .bd-article .math, .bd-article mjx-container[display]"))
      if (part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).overflowX === "auto") part.tabIndex = 0;
      else part.removeAttribute("tabindex");
  };
  addEventListener("resize", reach);

  // Formulas are shown when they are set (book.css), or as they are written if MathJax does not come.
  const root = document.documentElement;
  const show = () => root.classList.remove("typesetting");
  addEventListener("load", () => (window.MathJax?.startup?.promise || Promise.resolve()).finally(show).then(reach));
  setTimeout(show, 8000);

  // Ink on paper is dark, also for readers whose screen is dark.
  let theme;
  addEventListener("beforeprint", () => { theme = root.dataset.theme; root.dataset.theme = "light"; });
  addEventListener("afterprint", () => { root.dataset.theme = theme; });
})();
