"use strict";
/* What stands in the space of a recording, at a moment. Needs three.js (THREE). */
const { Vector3, Color } = THREE;
const REACH = 1.96; // standard deviations: an ellipsoid holds 95 % in each direction
const MISSING = -32768;
const by = (root, name) => root.querySelector(name);
const all = (root, name) => [...root.querySelectorAll(name)];

/* ---- the page's data: see kinefit.report.scene.pack_scene ---- */

async function unpacked(element) {
  const packed = Uint8Array.from(atob(element.textContent.trim()), (letter) => letter.charCodeAt(0));
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(plain).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const kinds = { f4: Float32Array, i4: Int32Array, i2: Int16Array, u1: Uint8Array };
  const isArray = (value) => value !== null && typeof value === "object" && "at" in value && "kind" in value;
  const read = ({ at, shape, kind, step }) => {
    const values = new kinds[kind](buffer, 4 + length + at, shape.reduce((a, b) => a * b, 1));
    return kind === "i2" ? Float32Array.from(values, (v) => (v === MISSING ? NaN : v * step)) : values;
  };
  const walk = (value) => {
    if (isArray(value)) return read(value);
    if (Array.isArray(value)) return value.map(walk);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, walk(part)]));
  };
  return walk(header);
}

function frameAt(times, time) {
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] + times[middle + 1]) / 2 < time) low = middle + 1; else high = middle;
  }
  return low;
}

/* ---- what stands in the space ---- */

const vector = (values, i) => new Vector3(values[3 * i], values[3 * i + 1], values[3 * i + 2]);
const known = (v) => Number.isFinite(v.x + v.y + v.z);
const NOWHERE = new THREE.Matrix4().makeScale(0, 0, 0);
const UP = new Vector3(0, 1, 0);

function instances(geometry, color, count, opacity = 1) {
  const material = new THREE.MeshLambertMaterial({ color, transparent: opacity < 1, opacity, depthWrite: opacity === 1 });
  const mesh = new THREE.InstancedMesh(geometry, material, Math.max(count, 1));
  mesh.frustumCulled = false;
  return mesh;
}

/* A unit ball becomes the points that deviate by `reach` in every direction: the ball times any root
   of the covariance, here Cholesky's. correlation: of x and y, x and z, y and z. */
function ellipsoid(matrix, place, reach, correlation) {
  const [xy, xz, yz] = correlation && known(correlation) ? correlation.toArray() : [0, 0, 0];
  const yy = Math.sqrt(Math.max(1 - xy * xy, 0)), rest = Math.sqrt(Math.max(1 - xz * xz, 0));
  const zy = yy > 0 ? Math.min(Math.max((yz - xy * xz) / yy, -rest), rest) : 0;
  const zz = Math.sqrt(Math.max(rest * rest - zy * zy, 0));
  return matrix.set(
    reach.x, 0, 0, place.x,
    reach.y * xy, reach.y * yy, 0, place.y,
    reach.z * xz, reach.z * zy, reach.z * zz, place.z,
    0, 0, 0, 1,
  );
}

class PointSet {
  constructor(data) {
    Object.assign(this, data);
    this.group = new THREE.Group();
    this.dots = instances(new THREE.SphereGeometry(0.012, 12, 8), this.heat ? "#ffffff" : this.color, this.names.length);
    this.sticks = instances(new THREE.CylinderGeometry(0.007, 0.007, 1, 8), this.color, this.bones.length);
    this.clouds = this.sd && instances(new THREE.SphereGeometry(1, 16, 12), this.color, this.names.length, 0.18);
    if (this.clouds) this.clouds.visible = false;
    this.group.add(this.dots, this.sticks, ...(this.clouds ? [this.clouds] : []));
  }

  at(frame, i) { return vector(this.xyz, frame * this.names.length + i); }

  show(frame) {
    const count = this.names.length, matrix = new THREE.Matrix4();
    for (let i = 0; i < count; i++) {
      const place = this.at(frame, i), there = known(place);
      this.dots.setMatrixAt(i, there ? matrix.makeTranslation(place.x, place.y, place.z) : NOWHERE);
      if (this.heat) {
        const heat = this.heat[frame * count + i];
        const color = new Color();
        if (Number.isFinite(heat)) color.setHSL((1 - heat) / 3, 0.8, 0.42); else color.set("#8a94a0");
        this.dots.setColorAt(i, color);
      }
      if (!this.clouds) continue;
      const k = frame * count + i, reach = vector(this.sd, k).multiplyScalar(REACH);
      const correlation = this.correlation && vector(this.correlation, k);
      this.clouds.setMatrixAt(i, there && known(reach) ? ellipsoid(matrix, place, reach, correlation) : NOWHERE);
    }
    this.bones.forEach(([a, b], i) => {
      const [start, end] = [this.at(frame, a), this.at(frame, b)];
      const along = end.clone().sub(start), length = along.length();
      const turn = new THREE.Quaternion().setFromUnitVectors(UP, along.divideScalar(length || 1));
      const middle = start.add(end).multiplyScalar(0.5);
      this.sticks.setMatrixAt(i, length > 0 ? matrix.compose(middle, turn, new Vector3(1, length, 1)) : NOWHERE);
    });
    for (const mesh of [this.dots, this.sticks, this.clouds]) if (mesh) mesh.instanceMatrix.needsUpdate = true;
    if (this.dots.instanceColor) this.dots.instanceColor.needsUpdate = true;
  }
}

class Figure {
  constructor(data) {
    Object.assign(this, data);
    this.group = new THREE.Group();
    const bytes = this.glb.buffer.slice(this.glb.byteOffset, this.glb.byteOffset + this.glb.byteLength);
    this.ready = new Promise((resolve, reject) => {
      new THREE.GLTFLoader().parse(bytes, "", (gltf) => { this.take(gltf); resolve(); }, reject);
    });
  }

  take(gltf) {
    this.group.add(gltf.scene);
    this.materials = [];
    gltf.scene.traverse((node) => {
      if (!node.isMesh) return;
      node.frustumCulled = false; // its bounds are those of the rest pose
      this.materials.push(node.material);
    });
    this.mixer = new THREE.AnimationMixer(gltf.scene);
    this.mixer.clipAction(gltf.animations[0]).play();
    this.length = gltf.animations[0].duration;
  }

  show(frame, seconds) {
    this.group.children.forEach((child) => { child.visible = Boolean(this.posed[frame]); });
    // At its very end an animation that repeats is at its beginning.
    this.mixer.setTime(Math.min(Math.max(seconds, 0), Math.max(this.length - 1e-4, 0)));
  }

  place() {
    let root = this.group;
    this.group.traverse((node) => { if (node.isSkinnedMesh) [root] = node.skeleton.bones; });
    this.mixer.setTime(0);
    this.group.updateMatrixWorld(true);
    return root.getWorldPosition(new Vector3());
  }

  seeThrough(yes) {
    for (const material of this.materials) {
      material.transparent = yes;
      material.opacity = yes ? 0.45 : 1;
      material.needsUpdate = true;
    }
  }
}

function cameraFrustum({ size: [width, height], K, R, centre }, depth = 0.35) {
  const axes = (v) => new Vector3(...[0, 1, 2].map((i) => R[0][i] * v[0] + R[1][i] * v[1] + R[2][i] * v[2]));
  const eye = new Vector3(...centre);
  const corner = (x, y) => axes([((x - K[0][2]) / K[0][0]) * depth, ((y - K[1][2]) / K[1][1]) * depth, depth]).add(eye);
  const [a, b, c, d] = [corner(0, 0), corner(width, 0), corner(width, height), corner(0, height)];
  const lines = [eye, a, eye, b, eye, c, eye, d, a, b, b, c, c, d, d, a];
  const geometry = new THREE.BufferGeometry().setFromPoints(lines);
  return new THREE.LineSegments(geometry, new THREE.LineBasicMaterial({ color: "#b7791f" }));
}

/* The film where the camera saw it, so that what stands in front covers what it should. Films of
   several cameras are no camera's picture. */
function filmPlane(video, { size: [width, height], K, R, centre }, depth = 40) {
  const corner = (x, y) => new Vector3(((x - K[0][2]) / K[0][0]) * depth, ((y - K[1][2]) / K[1][1]) * depth, depth);
  const corners = [[-0.5, -0.5], [width - 0.5, -0.5], [-0.5, height - 0.5], [width - 0.5, height - 0.5]];
  const geometry = new THREE.PlaneGeometry(1, 1).setFromPoints(corners.map(([x, y]) => corner(x, y)));
  const map = new THREE.VideoTexture(video);
  map.encoding = THREE.sRGBEncoding;
  const plane = new THREE.Mesh(geometry, new THREE.MeshBasicMaterial({ map, side: THREE.DoubleSide }));
  plane.applyMatrix4(cameraPose({ R, centre }));
  plane.visible = false;
  return plane;
}

/* From a camera's axes to the world. */
function cameraPose({ R, centre }) {
  const [x, y, z] = centre;
  return new THREE.Matrix4().set(R[0][0], R[1][0], R[2][0], x, R[0][1], R[1][1], R[2][1], y, R[0][2], R[1][2], R[2][2], z, 0, 0, 0, 1);
}

/* One result: who and what was where, in its own world and by its own clock. */
class Take {
  constructor(data) {
    Object.assign(this, data);
    this.points = this.points.map((one) => new PointSet(one));
    this.figures = this.figures.map((one) => new Figure(one));
    this.group = new THREE.Group(); // in the world of the stage
    this.body = new THREE.Group();
    this.layers = { Path: new THREE.Group(), Contact: new THREE.Group(), Cameras: new THREE.Group() };
    this.body.add(...[...this.points, ...this.figures].map((one) => one.group));
    this.group.add(this.body, ...Object.values(this.layers));
    for (const one of this.cameras) this.layers.Cameras.add(cameraFrustum(one));
    this.rings = Object.keys(this.standing).map((name) => {
      const material = new THREE.MeshBasicMaterial({ color: "#2e7d4f", transparent: true });
      const ring = new THREE.Mesh(new THREE.CircleGeometry(0.06, 24).rotateX(-Math.PI / 2), material);
      this.layers.Contact.add(ring);
      return [name, ring];
    });
    this.follow(this.points.find((one) => one.names.includes("Hip")), "Hip");
  }

  get length() { return this.time[this.time.length - 1]; }
  get main() { return this.points[0]; }

  /* Into the world of another result of the same recording, by a camera that both know. */
  moveTo(other) {
    const own = this.cameras.find((one) => other.cameras.some((two) => two.name === one.name));
    if (!own) return;
    const theirs = other.cameras.find((two) => two.name === own.name);
    this.group.applyMatrix4(cameraPose(theirs).multiply(cameraPose(own).invert()));
    this.group.updateMatrixWorld(true);
  }

  inStage(place) { return place.applyMatrix4(this.group.matrixWorld); }

  follow(set, name) {
    this.picked = set && { set, i: set.names.indexOf(name), name };
    this.layers.Path.clear();
    if (!set) return;
    const way = [];
    for (let f = 1; f < this.time.length; f++) {
      const [a, b] = [set.at(f - 1, this.picked.i), set.at(f, this.picked.i)];
      if (known(a) && known(b)) way.push(a, b);
    }
    const material = new THREE.LineBasicMaterial({ color: "#b3261e" });
    this.layers.Path.add(new THREE.LineSegments(new THREE.BufferGeometry().setFromPoints(way), material));
  }

  show(seconds) { // since the first frame
    const shown = Math.min(seconds, this.length), frame = frameAt(this.time, shown);
    this.frameNow = frame;
    for (const one of this.points) if (one.group.visible) one.show(frame);
    for (const one of this.figures) one.show(frame, shown);
    for (const [name, ring] of this.rings) {
      const place = this.main.at(frame, this.main.names.indexOf(name)), sure = this.standing[name][frame];
      ring.visible = known(place) && sure > 0.05;
      if (ring.visible) { ring.position.set(place.x, 0.003, place.z); ring.material.opacity = 0.8 * sure; }
    }
  }

  /* Where the picked point is, in words. */
  tell() {
    const { set, i, name } = this.picked, place = set.at(this.frameNow, i);
    const sd = set.sd && vector(set.sd, this.frameNow * set.names.length + i);
    const part = (axis) => place[axis].toFixed(3) + (sd && Number.isFinite(sd[axis]) ? ` ± ${(REACH * sd[axis]).toFixed(3)}` : "");
    return known(place) ? `${name}: x ${part("x")}, y ${part("y")}, z ${part("z")} m` : `${name}: not known here`;
  }
}

/* ---- a canvas, and the film beside it ---- */

class Stage {
  constructor(root, takes) {
    Object.assign(this, { root, takes });
    this.video = by(root, "video");
    this.canvas = by(root, "canvas.picture");
    this.names2d = by(root, "canvas.names");
    this.scene = new THREE.Scene();
    this.scene.background = new Color("#f5f7f9");
    this.lamp = new THREE.DirectionalLight("#ffffff", 0.55);
    this.floor = new THREE.Group();
    this.scene.add(new THREE.HemisphereLight("#ffffff", "#8a94a0", 0.75), this.lamp, this.lamp.target, this.floor);
    takes.forEach((take, i) => { this.scene.add(take.group); if (i) take.moveTo(takes[0]); });
    this.middle = this.extent();
    this.lamp.target.position.copy(this.middle);
    if (this.first.floor) {
      const grid = new THREE.GridHelper(this.floorSize, this.floorSize, "#8a94a0", "#cfd6dd");
      grid.position.set(Math.round(this.middle.x), 0, Math.round(this.middle.z));
      this.floor.add(grid);
    }
    // A page on disk may not look into a film beside it, only into one within it.
    this.readable = this.video && (this.video.src.startsWith("data:") || location.protocol !== "file:");
    this.filmed = this.readable && this.cameras.length === 1 ? filmPlane(this.video, this.cameras[0]) : null;
    if (this.filmed) this.scene.add(this.filmed);
    this.eye = new THREE.PerspectiveCamera(35, 1, 0.05, 200);
    this.renderer = new THREE.WebGLRenderer({ canvas: this.canvas, antialias: true, preserveDrawingBuffer: true });
    this.renderer.outputEncoding = THREE.sRGBEncoding;
  }

  get first() { return this.takes[0]; }
  get length() { return Math.max(...this.takes.map((take) => take.length)); }
  get longest() { return this.takes.find((take) => take.length === this.length); }
  get title() { return this.first.title; }
  get cameras() { return this.first.cameras; }
  get slowmo() { return this.first.slowmo; }
  get points() { return this.takes.flatMap((take) => take.points); }
  get figures() { return this.takes.flatMap((take) => take.figures); }

  layer(name) { return name === "Floor" ? [this.floor] : this.takes.map((take) => take.layers[name]); }

  extent() {
    const low = new Vector3(Infinity, 0, Infinity), high = new Vector3(-Infinity, 0, -Infinity);
    for (const take of this.takes) {
      const set = take.main, count = set ? set.names.length * take.time.length : 0;
      for (let i = 0; i < count; i++) {
        const place = vector(set.xyz, i);
        if (known(place)) { take.inStage(place); low.min(place); high.max(place); }
      }
    }
    if (!(high.x >= low.x)) { // no points: around the first body
      const place = this.figures.length ? this.figures[0].place() : new Vector3(0, 0.9, 0);
      low.copy(place).subScalar(1);
      high.copy(place).addScalar(1);
    }
    this.span = Math.max(high.x - low.x, high.y - low.y, high.z - low.z, 1);
    this.floorSize = 2 * Math.ceil(Math.max(high.x - low.x, high.z - low.z) / 2 + 1);
    return low.add(high).multiplyScalar(0.5);
  }

  /* Where the first person faces on average, as an angle about the vertical. */
  facing() {
    const { main, time } = this.first, sum = new Vector3();
    const [left, right] = ["LHip", "RHip"].map((name) => (main ? main.names.indexOf(name) : -1));
    for (let f = 0; left >= 0 && right >= 0 && f < time.length; f++) {
      const ahead = main.at(f, left).sub(main.at(f, right)).cross(UP);
      if (known(ahead)) sum.add(ahead.normalize());
    }
    return sum.lengthSq() > 1e-6 ? Math.atan2(sum.x, sum.z) : 0;
  }

  show(seconds) {
    for (const take of this.takes) take.show(seconds);
    const words = by(this.root, ".picked");
    words.hidden = !this.clicked;
    if (this.clicked) words.textContent = this.clicked.tell();
  }

  render(view, withNames) {
    const box = this.canvas.getBoundingClientRect();
    const [width, height] = [Math.max(box.width, 1), Math.max(box.height, 1)];
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const size = this.renderer.getSize(new THREE.Vector2());
    if (size.x !== width || size.y !== height || this.ratio !== ratio) {
      this.ratio = ratio;
      this.renderer.setPixelRatio(ratio);
      this.renderer.setSize(width, height, false);
      this.names2d.width = width * ratio;
      this.names2d.height = height * ratio;
    }
    this.look(view, width / height);
    this.lamp.position.copy(this.eye.position).add(new Vector3(0, 2, 0));
    this.renderer.render(this.scene, this.eye);
    const pen = this.names2d.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    if (withNames) this.writeNames(pen, width, height);
  }

  look(view, aspect) {
    const filmed = this.cameras.find((one) => one.name === view.camera);
    this.eye.aspect = aspect;
    if (this.filmed) this.filmed.visible = Boolean(filmed);
    if (filmed) {
      const { R, K, size: [width, height] } = filmed;
      const [x, y, z] = R.map((row) => new Vector3(...row)); // three.js looks along -Z, Y up
      const basis = new THREE.Matrix4().makeBasis(x, y.negate(), z.negate());
      this.eye.position.set(...filmed.centre);
      this.eye.quaternion.setFromRotationMatrix(basis);
      // All of the picture, whatever the shape of the canvas.
      const tall = Math.max(height / 2, width / 2 / aspect) / K[1][1];
      this.eye.fov = (2 * Math.atan(tall) * 180) / Math.PI;
    } else {
      const way = new Vector3(Math.sin(view.yaw) * Math.cos(view.pitch), Math.sin(view.pitch), Math.cos(view.yaw) * Math.cos(view.pitch));
      const target = this.middle.clone().add(view.shift);
      this.eye.fov = 35;
      this.eye.position.copy(target).addScaledVector(way, view.distance * Math.max(1, 1 / aspect));
      this.eye.lookAt(target);
    }
    this.eye.updateProjectionMatrix();
    this.eye.updateMatrixWorld();
  }

  onScreen(place, width, height) {
    const p = place.project(this.eye);
    return p.z < 1 ? [((p.x + 1) / 2) * width, ((1 - p.y) / 2) * height] : null;
  }

  visiblePoints(width, height) {
    const found = [];
    for (const take of this.takes) {
      for (const set of take.points.filter((one) => one.group.visible)) {
        set.names.forEach((name, i) => {
          const place = set.at(take.frameNow, i);
          const at = known(place) && this.onScreen(take.inStage(place), width, height);
          if (at) found.push({ take, set, name, at });
        });
      }
    }
    return found;
  }

  writeNames(pen, width, height) {
    pen.font = "11px system-ui, sans-serif";
    pen.lineWidth = 3;
    pen.strokeStyle = "#f5f7f9";
    pen.fillStyle = "#1f2933";
    for (const { name, at: [x, y] } of this.visiblePoints(width, height)) {
      pen.strokeText(name, x + 6, y - 4);
      pen.fillText(name, x + 6, y - 4);
    }
  }

  pick(x, y) {
    const box = this.canvas.getBoundingClientRect();
    let best = null, least = 14; // pixels
    for (const one of this.visiblePoints(box.width, box.height)) {
      const off = Math.hypot(one.at[0] - x, one.at[1] - y);
      if (off < least) [best, least] = [one, off];
    }
    if (best) { best.take.follow(best.set, best.name); this.clicked = best.take; }
    return Boolean(best);
  }
}
