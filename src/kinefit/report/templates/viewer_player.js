"use strict";
/* One clock for film, space and curves: all show the same moment. Needs viewer_space.js. */

/* ---- curves on the page that follow the clock ---- */

class Curve {
  constructor(svg, stage, goTo) {
    const number = (name) => Number(svg.dataset[name]);
    Object.assign(this, { svg, stage, left: number("left"), right: number("right"), from: number("from"), to: number("to") });
    this.line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    for (const [name, value] of [["y1", number("top")], ["y2", number("bottom")], ["stroke", "#1f2933"], ["stroke-width", 1.2]]) this.line.setAttribute(name, value);
    svg.append(this.line);
    svg.classList.add("linked");
    const go = (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      const value = this.from + ((x - this.left) / (this.right - this.left)) * (this.to - this.from);
      const { time, frame, start } = stage.first;
      goTo(svg.dataset.axis === "frame" ? time[frameAt(frame, value)] : value - start);
    };
    svg.addEventListener("pointerdown", go);
    svg.addEventListener("pointermove", (event) => { if (event.buttons) go(event); });
  }

  show() {
    const { frame, time, start, frameNow } = this.stage.first;
    const value = this.svg.dataset.axis === "frame" ? frame[frameNow] : start + time[frameNow];
    const x = this.left + ((value - this.from) / (this.to - this.from)) * (this.right - this.left);
    this.line.setAttribute("x1", x);
    this.line.setAttribute("x2", x);
  }
}

/* ---- the player: one clock for all ---- */

class Player {
  constructor(root, stages) {
    Object.assign(this, { root, stages, seconds: 0, playing: false, speed: 1, dirty: true });
    this.length = Math.max(...stages.map((stage) => stage.length));
    this.leading = stages.find((stage) => stage.length === this.length);
    this.longest = this.leading.longest; // its frames are counted
    this.lead = this.leading.video; // its pictures are the clock
    this.view = { yaw: stages[0].facing() + 0.5, pitch: 0.12, distance: Math.max(1.35 * stages[0].span, 3.4), shift: new Vector3(), camera: "" };
    this.curves = all(document, "svg[data-axis]").map((svg) => {
      const stage = stages[Number((svg.closest("[data-stage]") || { dataset: { stage: 0 } }).dataset.stage)];
      return new Curve(svg, stage, (seconds) => { this.pause(); this.goTo(seconds); });
    });
    for (const button of all(document, "button.frame")) { // in the words of the findings
      button.disabled = false;
      button.addEventListener("click", () => {
        this.pause();
        this.goToFrame(frameAt(this.longest.frame, Number(button.dataset.frame)));
        root.scrollIntoView({ block: "nearest" });
      });
    }
    for (const { video } of stages) {
      if (!video) continue;
      video.controls = false;
      video.addEventListener("click", () => this.toggle());
      video.addEventListener("seeked", () => { this.dirty = true; });
      video.addEventListener("error", () => this.without(video));
      if (video.error) this.without(video);
    }
    this.controls();
    for (const stage of stages) this.turning(stage);
    document.addEventListener("keydown", (event) => this.key(event));
    const beat = (now) => { this.beat(now); requestAnimationFrame(beat); };
    requestAnimationFrame(beat);
    this.goTo(0);
  }

  /* A film that cannot be played leaves the space and the curves. */
  without(video) {
    video.hidden = true;
    if (video === this.lead) this.lead = null;
  }

  controls() {
    const box = by(this.root, ".controls");
    this.slider = by(box, ".slider");
    this.slider.max = String(this.longest.time.length - 1);
    this.slider.addEventListener("input", () => { this.pause(); this.goToFrame(Number(this.slider.value)); });
    const actions = {
      back: () => this.step(-1), on: () => this.step(1), play: () => this.toggle(),
      picture: () => this.savePicture(), clip: () => this.saveClip(),
    };
    for (const button of all(box, "button")) button.addEventListener("click", actions[button.dataset.do]);
    by(box, ".speed").addEventListener("change", (event) => { this.speed = Number(event.target.value); this.rate(); });
    this.viewChoices(by(box, ".view"));
    this.layerChoices(by(box, ".shown"));
    by(box, ".moment").hidden = this.longest.time.length < 2;
    box.hidden = false;
  }

  viewChoices(select) {
    const quarter = Math.PI / 2, ahead = this.stages[0].facing();
    const views = { Free: null, Front: [0, 0.05], "Person’s left": [quarter, 0.05], Back: [2 * quarter, 0.05], "Person’s right": [-quarter, 0.05], Above: [0, 1.55] };
    for (const name of Object.keys(views)) select.add(new Option(name, name));
    const cameras = new Set(this.stages.flatMap((stage) => stage.cameras.map((one) => one.name)));
    for (const name of cameras) select.add(new Option(`Camera ${name}`, `camera ${name}`));
    select.addEventListener("change", () => {
      const chosen = views[select.value];
      this.view.camera = select.value.startsWith("camera ") ? select.value.slice(7) : "";
      if (chosen) { this.view.yaw = ahead + chosen[0]; this.view.pitch = chosen[1]; this.view.shift.set(0, 0, 0); }
      this.dirty = true;
    });
    this.viewSelect = select;
  }

  layerChoices(box) {
    const layers = new Map(); // label -> [shown at first, what to do]
    const figures = this.stages.flatMap((stage) => stage.figures);
    const bodies = [...new Set(figures.map((one) => one.label))]; // of several kinds the last, which was asked for
    for (const label of bodies) {
      const set = (on) => figures.filter((one) => one.label === label).forEach((one) => { one.group.visible = on; });
      layers.set(label, [label === bodies[bodies.length - 1], set]);
    }
    const sets = this.stages.flatMap((stage) => stage.points);
    for (const label of new Set(sets.map((one) => one.label))) {
      const own = sets.filter((one) => one.label === label);
      layers.set(label, [own[0].shown, (on) => own.forEach((one) => { one.group.visible = on; })]);
    }
    layers.set("Names", [false, (on) => { this.withNames = on; }]);
    if (sets.some((one) => one.clouds)) layers.set("Uncertainty", [false, (on) => sets.forEach((one) => { if (one.clouds) one.clouds.visible = on; })]);
    for (const name of ["Contact", "Path", "Cameras", "Floor"]) {
      const groups = this.stages.flatMap((stage) => stage.layer(name)).filter((group) => group.children.length);
      if (groups.length) layers.set(name, [name === "Floor" || name === "Contact", (on) => groups.forEach((group) => { group.visible = on; })]);
    }
    for (const [label, [shown, set]] of layers) {
      const tick = document.createElement("input"), words = document.createElement("label");
      tick.type = "checkbox";
      tick.checked = shown;
      words.append(tick, ` ${label}`);
      box.append(words);
      const apply = () => {
        set(tick.checked);
        const covered = sets.some((one) => one.group.visible);
        figures.forEach((one) => one.seeThrough(covered));
        this.goTo(this.seconds, false);
      };
      tick.addEventListener("change", apply);
      set(shown);
    }
    figures.forEach((one) => one.seeThrough(sets.some((set) => set.group.visible)));
  }

  turning(stage) {
    const { canvas } = stage, { view } = this, fingers = new Map();
    const turn = (dx, dy) => {
      if (view.camera) { view.camera = ""; this.viewSelect.value = "Free"; }
      view.yaw -= dx / 150;
      view.pitch = Math.min(Math.max(view.pitch + dy / 150, -1.5), 1.55);
      this.dirty = true;
    };
    const move = (dx, dy) => {
      const scale = view.distance / 900, side = new Vector3().setFromMatrixColumn(stage.eye.matrixWorld, 0);
      view.shift.addScaledVector(side, -dx * scale).addScaledVector(UP, dy * scale);
      this.dirty = true;
    };
    const nearer = (factor) => { view.distance = Math.min(Math.max(view.distance * factor, 0.3), 100); this.dirty = true; };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, [event.offsetX, event.offsetY, event.offsetX, event.offsetY]);
    });
    canvas.addEventListener("pointermove", (event) => {
      const old = fingers.get(event.pointerId);
      if (!old) return;
      const [dx, dy] = [event.offsetX - old[0], event.offsetY - old[1]];
      const other = [...fingers].find(([id]) => id !== event.pointerId);
      if (other) nearer(Math.hypot(old[0] - other[1][0], old[1] - other[1][1]) / Math.max(Math.hypot(event.offsetX - other[1][0], event.offsetY - other[1][1]), 1));
      else if (event.shiftKey || event.buttons & 6) move(dx, dy);
      else turn(dx, dy);
      fingers.set(event.pointerId, [event.offsetX, event.offsetY, old[2], old[3]]);
    });
    const lift = (event) => {
      const at = fingers.get(event.pointerId);
      fingers.delete(event.pointerId);
      if (at && Math.hypot(at[0] - at[2], at[1] - at[3]) < 4 && stage.pick(at[0], at[1])) this.goTo(this.seconds, false);
    };
    canvas.addEventListener("pointerup", lift);
    canvas.addEventListener("pointercancel", lift);
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); nearer(Math.exp(event.deltaY / 600)); }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [-12, 0], ArrowRight: [12, 0], ArrowUp: [0, -12], ArrowDown: [0, 12] }[event.key];
      if (!event.shiftKey || !by) return;
      event.preventDefault();
      event.stopPropagation();
      turn(...by);
    });
  }

  key(event) {
    // In a report they scroll the page, unless the player has the focus.
    const here = this.root.contains(event.target) || (event.target === document.body && this.root.closest("main.viewing"));
    if (!here || event.target.closest("input, select, button, summary, a") || event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = { " ": () => this.toggle(), ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1), Home: () => this.goTo(0), End: () => this.goTo(this.length) };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }

  /* Seconds of the film at a moment; a little later, or rounding may give the picture before. */
  filmTime(stage, seconds) { return stage.slowmo * seconds + 0.004; }

  goToFrame(frame) { this.goTo(this.longest.time[frame]); }

  step(by) {
    this.pause();
    const last = this.longest.time.length - 1;
    this.goToFrame(Math.min(Math.max(this.longest.frameNow + by, 0), last));
  }

  /* While nothing plays a moment is one of the frames, the same for film and space. */
  goTo(seconds, films = true) {
    const { time } = this.longest;
    this.seconds = Math.min(Math.max(seconds, 0), this.length);
    if (!this.playing) this.seconds = time[frameAt(time, this.seconds)];
    if (films) for (const stage of this.stages) if (stage.video) stage.video.currentTime = this.filmTime(stage, Math.min(this.seconds, stage.length));
    this.show();
  }

  show() {
    for (const stage of this.stages) stage.show(Math.min(this.seconds, stage.length));
    for (const curve of this.curves) curve.show();
    const { longest } = this, frame = longest.frameNow;
    this.slider.value = String(frame);
    by(this.root, ".when").textContent = `${(longest.start + longest.time[frame]).toFixed(2)} s, frame ${longest.frame[frame]}`;
    this.dirty = true;
  }

  /* At speed 1 the film plays as it was saved: slow motion slowly. */
  rate() { for (const { video, slowmo } of this.stages) if (video) video.playbackRate = Math.min(Math.max(this.speed * slowmo / this.leading.slowmo, 0.0625), 16); }

  toggle() { if (this.playing) this.pause(); else this.play(); }

  play() {
    if (this.seconds >= this.length - 1e-3) this.goTo(0);
    this.playing = true;
    this.last = null;
    this.rate();
    for (const { video } of this.stages) {
      if (video) video.play().catch((error) => { if (error.name === "NotSupportedError") this.without(video); });
    }
    by(this.root, ".play").textContent = "Pause";
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    for (const { video } of this.stages) if (video) video.pause();
    by(this.root, ".play").textContent = "Play";
    this.goTo(this.lead ? this.shownTime(this.lead) / this.leading.slowmo : this.seconds);
  }

  /* Once per picture of the screen: the film is the clock where there is one. */
  beat(now) {
    if (this.playing) {
      const film = this.lead && !this.lead.ended ? this.lead : null; // one that ends early leaves the rest
      if (film) this.seconds = Math.min(this.shownTime(film) / this.leading.slowmo, this.length);
      else if (this.last !== null) this.seconds += ((now - this.last) / 1000) * this.speed / this.leading.slowmo;
      this.last = now;
      if (this.seconds >= this.length) this.ended();
      else this.show();
      this.together();
    }
    if (!this.dirty) return;
    this.dirty = false;
    for (const stage of this.stages) stage.render(this.view, this.withNames);
    if (this.paper) this.compose();
  }

  /* The time of the picture that is on the screen: `currentTime` runs ahead of it. */
  shownTime(film) {
    if (!film.requestVideoFrameCallback) return film.currentTime;
    if (this.watched !== film) {
      this.watched = film;
      const note = (now, { mediaTime }) => { this.media = mediaTime; film.requestVideoFrameCallback(note); };
      film.requestVideoFrameCallback(note);
      this.media = film.currentTime;
    }
    return Math.abs(this.media - film.currentTime) < 0.3 ? this.media : film.currentTime;
  }

  together() {
    for (const stage of this.stages) {
      const { video } = stage;
      if (!video || video === this.lead || this.seconds > stage.length) continue;
      const wanted = this.filmTime(stage, this.seconds);
      if (Math.abs(video.currentTime - wanted) > 0.12) video.currentTime = wanted;
    }
  }

  ended() {
    if (this.recorder) { this.recorder.stop(); return; }
    this.pause();
    this.goTo(0);
    this.play();
  }

  /* ---- pictures and clips: film and space side by side ---- */

  compose() {
    const parts = this.stages.flatMap((stage) => [stage.readable && !stage.video.hidden ? stage.video : null, stage.canvas].filter(Boolean));
    const height = 720, sizes = parts.map((part) => {
      const [w, h] = part.videoWidth ? [part.videoWidth, part.videoHeight] : [part.width, part.height];
      return Math.round((w * height) / Math.max(h, 1));
    });
    this.paper = this.paper || document.createElement("canvas");
    const wide = sizes.reduce((a, b) => a + b, 0);
    if (this.paper.width !== wide || this.paper.height !== height) Object.assign(this.paper, { width: wide, height });
    const pen = this.paper.getContext("2d");
    let x = 0;
    parts.forEach((part, i) => {
      pen.drawImage(part, x, 0, sizes[i], height);
      const stage = this.stages.find((one) => one.canvas === part);
      if (stage) pen.drawImage(stage.names2d, x, 0, sizes[i], height);
      x += sizes[i];
    });
    return this.paper;
  }

  save(blob, end) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${this.stages[0].title}_${this.seconds.toFixed(2)}s.${end}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  savePicture() {
    for (const stage of this.stages) stage.render(this.view, this.withNames);
    this.compose().toBlob((blob) => this.save(blob, "png"));
    if (!this.recorder) this.paper = null;
  }

  /* From here to the end, as it plays. */
  saveClip() {
    if (this.recorder) { this.recorder.stop(); return; }
    const parts = [];
    const button = by(this.root, "[data-do=clip]");
    if (!window.MediaRecorder || !MediaRecorder.isTypeSupported("video/webm")) {
      button.disabled = true;
      button.textContent = "No clips in this browser";
      return;
    }
    this.recorder = new MediaRecorder(this.compose().captureStream(30), { mimeType: "video/webm" });
    this.recorder.ondataavailable = ({ data }) => parts.push(data);
    this.recorder.onstop = () => {
      this.recorder = this.paper = null;
      button.textContent = "Save clip";
      this.pause();
      this.save(new Blob(parts, { type: "video/webm" }), "webm");
    };
    button.textContent = "Stop";
    this.recorder.start();
    if (!this.playing) this.play();
  }
}

async function begin() {
  for (const root of all(document, ".player")) {
    try {
      const stages = await Promise.all(all(root, ".stage").map(async (box) => {
        const takes = (await Promise.all(all(box, ".scene").map(unpacked))).map((data) => new Take(data));
        await Promise.all(takes.flatMap((take) => take.figures.map((one) => one.ready)));
        return new Stage(box, takes);
      }));
      root.player = new Player(root, stages);
    } catch (error) {
      for (const words of all(root, ".failed")) {
        words.hidden = false;
        words.textContent = `The space cannot be shown in this browser (${error.message}). The numbers are not affected. Next: a browser of 2023 or later with WebGL.`;
      }
    }
  }
}
addEventListener("load", begin);
