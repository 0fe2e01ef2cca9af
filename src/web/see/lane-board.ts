/** Draws lanes, gaps, ticks and annotations on one canvas, and the cursor on another that lies over it. */
import { GAP_TEXT } from './data-gaps.ts';
import { paintBand, pixelColor } from './band-pixels.ts';
import { boardColors, type BoardColors } from './board-colors.ts';
import type { FramedLane, Lane } from './lane-frame.ts';
import { MAX_SINGLE_MARKS, type LaneMark } from './mark-set.ts';
import { SAMPLE_LEVEL } from './bucket-level.ts';
import type { SeeModel } from './see-model.ts';
import { dayBorders, timeTicks, tickLabel } from './time-ticks.ts';
import { valueText } from './value-scale.ts';
import { movedBy, partOfTime, timeAtPart, type ViewWindow } from './view-window.ts';

/** Sizes in CSS pixels. */
const GUTTER = 132;
const AXIS = 24;
const TRACK = 20;
const FONT = 12;
/** Lanes at least so tall have a name, and their range beside it. */
const NAMED_LANE = 15;
const RANGED_LANE = 54;
/** Signals are drawn at least so high, over the lanes beside them. */
const LEAST_DRAWN = 14;
/** Samples that lie further apart than this are drawn as lines and points. */
const SAMPLE_PIXELS = 1;
const POINT_PIXELS = 7;
const PIXELS_A_TICK = 110;
const MAX_DAYS = 120;
/** The border of a mark is taken hold of within so many pixels. */
const GRIP = 5;

export interface BoardSize {
  readonly width: number;
  readonly height: number;
}

/** Room for a text. */
interface TextBox {
  readonly x: number;
  readonly right: number;
  readonly y: number;
  readonly bottom: number;
}

/** What lies under a place of the board. */
export interface BoardPlace {
  readonly ns: bigint;
  readonly lane: number | null;
  readonly isInTracks: boolean;
  readonly layer: string | null;
}

export class LaneBoard {
  readonly #base: HTMLCanvasElement;
  readonly #front: HTMLCanvasElement;
  readonly #ink: HTMLCanvasElement;
  readonly #model: SeeModel;
  #image: ImageData | null = null;
  #size: BoardSize = { width: 0, height: 0 };
  #framed: readonly FramedLane[] = [];
  /** CSS pixels that lanes are scrolled by. */
  scroll = 0;

  constructor(base: HTMLCanvasElement, front: HTMLCanvasElement, model: SeeModel) {
    this.#base = base;
    this.#front = front;
    this.#model = model;
    this.#ink = document.createElement('canvas');
  }

  get framed(): readonly FramedLane[] {
    return this.#framed;
  }

  get layers(): readonly string[] {
    const { marks, hiddenLayers, layer } = this.#model;
    const names = new Set([...marks.book.marks.layers(), layer.peek()]);
    return [...names].filter((each) => !hiddenLayers.peek().has(each)).sort();
  }

  /** Where lanes begin. */
  get #top(): number {
    return AXIS + TRACK * this.layers.length + 4;
  }

  get plotWidth(): number {
    return Math.max(1, this.#size.width - GUTTER);
  }

  get lanesHeight(): number {
    return Math.max(1, this.#size.height - this.#top);
  }

  /** Height of a lane in CSS pixels. */
  get laneHeight(): number {
    const lanes = Math.max(1, this.#model.shownLanes.peek().length);
    return this.#model.state.peek().laneHeight ?? Math.max(2, this.lanesHeight / lanes);
  }

  get isSized(): boolean {
    return this.#size.width > GUTTER;
  }

  resize(size: BoardSize): void {
    this.#size = size;
    const scale = window.devicePixelRatio;
    for (const canvas of [this.#base, this.#front]) {
      canvas.width = Math.round(size.width * scale);
      canvas.height = Math.round(size.height * scale);
    }
    this.#model.columns = Math.max(1, Math.round(this.plotWidth * scale));
  }

  placeAt(x: number, y: number): BoardPlace {
    const part = (x - GUTTER) / this.plotWidth;
    const view = this.#model.view.peek();
    const lanes = this.#model.shownLanes.peek().length;
    const at = Math.floor((y - this.#top + this.scroll) / this.laneHeight);
    const isButterfly = this.#model.state.peek().layout === 'butterfly';
    const track = Math.floor((y - AXIS) / TRACK);
    return {
      ns: timeAtPart(view, Math.min(1, Math.max(0, part))),
      lane: y < this.#top || isButterfly || at < 0 || at >= lanes ? null : at,
      isInTracks: y >= AXIS && y < this.#top,
      layer: this.layers[track] ?? null,
    };
  }

  /** The part of the view at a place: 0 at its start. */
  partAt(x: number): number {
    return (x - GUTTER) / this.plotWidth;
  }

  /** Time of so many pixels. */
  nsOf(pixels: number): bigint {
    const { startNs, endNs } = this.#model.view.peek();
    return BigInt(Math.round((Number(endNs - startNs) * pixels) / this.plotWidth));
  }

  /** The mark at a place, and whether one of its ends is there. */
  markAt(x: number, y: number): { readonly mark: LaneMark; readonly edge: 'start' | 'end' | null } | null {
    const { ns, isInTracks, layer } = this.placeAt(x, y);
    if (!isInTracks || layer === null) return null;
    const reach = this.nsOf(GRIP);
    const mark = this.#model.marks.book.marks.nearest(ns, reach, layer);
    if (!mark) return null;
    const near = (at: bigint): boolean => (at > ns ? at - ns : ns - at) <= reach;
    const edge = mark.endNs === mark.startNs ? null : near(mark.startNs) ? 'start' : near(mark.endNs) ? 'end' : null;
    return { mark, edge };
  }

  /** Draws everything but the cursor, and asks for what is missing. */
  draw(): void {
    const context = this.#base.getContext('2d');
    if (!context || !this.isSized) return;
    const scale = window.devicePixelRatio;
    const colors = boardColors(this.#base);
    const { width, height } = this.#size;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = `${FONT}px ${colors.font}`;
    context.textBaseline = 'middle';
    this.#frame(scale);
    context.save();
    context.beginPath();
    context.rect(GUTTER, 0, this.plotWidth, height);
    context.clip();
    this.#drawGrid(context, colors);
    this.#drawGaps(context, colors);
    this.#drawMarkBands(context, colors);
    this.#drawBands(context, colors, scale);
    this.#drawSamples(context, colors, scale);
    this.#drawTracks(context, colors);
    context.restore();
    this.#drawGutter(context, colors);
    this.drawFront();
  }

  /** Asks for what the view needs, and computes what can be drawn of it. */
  #frame(scale: number): void {
    const { shownLanes, state, view, frames, columns } = this.#model;
    const lanes = shownLanes.value;
    const most = Math.max(0, lanes.length * this.laneHeight - this.lanesHeight);
    this.scroll = state.value.layout === 'butterfly' ? 0 : Math.min(Math.max(0, this.scroll), most);
    this.#framed = frames.frame({
      lanes,
      state: state.value,
      view: view.value,
      columns,
      height: this.lanesHeight * scale,
      laneHeight: this.laneHeight * scale,
      scroll: this.scroll * scale,
      leastHeight: LEAST_DRAWN * scale,
    });
    const bySource = new Map<Lane['source'], number[]>();
    for (const { lane } of this.#framed)
      bySource.set(lane.source, [...(bySource.get(lane.source) ?? []), lane.channel]);
    for (const [source, channels] of bySource)
      source.want({ view: view.value, columns, lanes: lanes.length, channels });
  }

  #xOf(ns: bigint): number {
    return GUTTER + partOfTime(this.#model.view.peek(), ns) * this.plotWidth;
  }

  #drawGrid(context: CanvasRenderingContext2D, colors: BoardColors): void {
    const { view, timeStyle } = this.#model;
    const line = (ns: bigint, color: string, dash: number[]): void => {
      const x = Math.round(this.#xOf(ns)) + 0.5;
      context.strokeStyle = color;
      context.setLineDash(dash);
      context.beginPath();
      context.moveTo(x, AXIS - 4);
      context.lineTo(x, this.#size.height);
      context.stroke();
    };
    context.lineWidth = 1;
    const ticks = timeTicks(view.value, this.plotWidth / PIXELS_A_TICK, timeStyle.value);
    for (const { ns } of ticks) line(ns, colors.grid, []);
    for (const ns of dayBorders(view.value, MAX_DAYS, timeStyle.value)) line(ns, colors.day, []);
    for (const { firstNs } of this.#model.sources) if (firstNs !== null) line(firstNs, colors.session, [4, 3]);
    context.setLineDash([]);
    context.fillStyle = colors.text;
    context.textAlign = 'left';
    let until = GUTTER - 1;
    for (const { ns, label } of ticks) {
      const x = this.#xOf(ns) + 4;
      if (x < until) continue;
      context.fillText(label, x, AXIS / 2);
      until = x + context.measureText(label).width + 8;
    }
  }

  /** Lanes of a series have their gaps at the same times, so one rectangle goes over all that follow each other. */
  #drawGaps(context: CanvasRenderingContext2D, colors: BoardColors): void {
    const scale = window.devicePixelRatio;
    for (let i = 0; i < this.#framed.length;) {
      const { lane, gaps, top } = this.#framed[i];
      let next = i + 1;
      while (next < this.#framed.length && this.#framed[next].lane.source === lane.source) next++;
      const last = this.#framed[next - 1];
      const [y, bottom] = [this.#top + top / scale, this.#top + (last.top + last.height) / scale];
      const box = { y: Math.max(this.#top, y), bottom: Math.min(this.#size.height, bottom) };
      // Tall lanes have the reason in the middle of the first one, so that it stands on no border.
      const told = {
        y: box.y,
        bottom: last.height / scale >= 2 * NAMED_LANE ? Math.min(box.bottom, y + last.height / scale) : box.bottom,
      };
      for (const { startNs, endNs, reason } of gaps) {
        const x = Math.max(GUTTER, this.#xOf(startNs));
        const right = Math.min(this.#size.width, this.#xOf(endNs));
        context.fillStyle = colors.hatch(context);
        context.fillRect(x, box.y, Math.max(1, right - x), box.bottom - box.y);
        this.#tell(context, colors, GAP_TEXT[reason], { x, right, ...told });
      }
      const { failure } = lane.source;
      if (failure !== null) this.#tell(context, colors, failure, { x: GUTTER, right: this.#size.width, ...box });
      i = next;
    }
  }

  /** Writes a sentence into the middle of a box, upright if the box is narrow; not at all if there is no room. */
  #tell(context: CanvasRenderingContext2D, colors: BoardColors, text: string, box: TextBox): void {
    const [width, height] = [box.right - box.x, box.bottom - box.y];
    const long = context.measureText(text).width + FONT;
    const isUpright = long > width;
    if (isUpright ? width < NAMED_LANE || height < long : height < NAMED_LANE) return;
    context.save();
    context.translate((box.x + box.right) / 2, (box.y + box.bottom) / 2);
    if (isUpright) context.rotate(-Math.PI / 2);
    context.fillStyle = colors.paper;
    context.fillRect(-long / 2, -FONT / 2 - 3, long, FONT + 6);
    context.fillStyle = colors.faint;
    context.textAlign = 'center';
    context.fillText(text, 0, 0);
    context.restore();
  }

  #drawBands(context: CanvasRenderingContext2D, colors: BoardColors, scale: number): void {
    const { columns } = this.#model;
    const height = Math.max(1, Math.round(this.lanesHeight * scale));
    // It is large, so it is kept from one frame to the next.
    if (this.#image?.width !== columns || this.#image.height !== height) this.#image = new ImageData(columns, height);
    const image = this.#image;
    image.data.fill(0);
    const field = { pixels: new Uint32Array(image.data.buffer), width: columns, height };
    for (const framed of this.#framed) {
      if (this.#isSparse(framed, scale)) continue;
      const [red, green, blue] = framed.lane.isBad ? colors.bad : colors.lanes[framed.lane.hue % colors.lanes.length];
      const { slope, intercept } = framed;
      const over = Math.max(0, (LEAST_DRAWN * scale - framed.height) / 2);
      const [top, bottom] = [framed.top - over, framed.top + framed.height + over];
      paintBand(field, framed.band, { slope, intercept, top, bottom, color: pixelColor(red, green, blue) });
    }
    if (this.#ink.width !== columns || this.#ink.height !== height)
      [this.#ink.width, this.#ink.height] = [columns, height];
    this.#ink.getContext('2d')?.putImageData(image, 0, 0);
    context.drawImage(this.#ink, GUTTER, this.#top, columns / scale, height / scale);
  }

  /** So few samples are seen that each is drawn singly. */
  #isSparse({ map }: FramedLane, scale: number): boolean {
    const isSamples = map.parts.every(({ block }) => block.level === SAMPLE_LEVEL);
    return isSamples && map.size > 0 && map.columns / map.size >= SAMPLE_PIXELS * scale;
  }

  #drawSamples(context: CanvasRenderingContext2D, colors: BoardColors, scale: number): void {
    const view = this.#model.view.peek();
    const pixels = this.plotWidth / Number(view.endNs - view.startNs);
    context.save();
    context.beginPath();
    context.rect(GUTTER, this.#top, this.plotWidth, this.lanesHeight);
    context.clip();
    context.lineWidth = 1.25;
    for (const framed of this.#framed) {
      if (!this.#isSparse(framed, scale)) continue;
      const { map, lane, slope, intercept } = framed;
      const [red, green, blue] = lane.isBad ? colors.bad : colors.lanes[lane.hue % colors.lanes.length];
      context.strokeStyle = `rgb(${red} ${green} ${blue})`;
      context.fillStyle = context.strokeStyle;
      const hasPoints = this.plotWidth / map.size >= POINT_PIXELS || lane.source.joinNs === 0;
      const isStepped = lane.source.series.continuity === 'step';
      context.beginPath();
      let [isOn, lastY] = [false, 0];
      for (let k = 0; k < map.size; k++) {
        const { block } = map.parts[map.part[k]];
        const value = block.lows[block.channels.indexOf(lane.channel)][map.bucket[k]];
        if (Number.isNaN(value)) {
          isOn = false;
          continue;
        }
        const x = GUTTER + (Number(block.startNs - view.startNs) + block.begins[map.bucket[k]]) * pixels;
        const y = this.#top + (slope * value + intercept) / scale;
        if (isOn && map.joins[k] === 1) {
          if (isStepped) context.lineTo(x, lastY);
          context.lineTo(x, y);
        } else context.moveTo(x, y);
        if (hasPoints) context.fillRect(x - 1.5, y - 1.5, 3, 3);
        isOn = true;
        lastY = y;
      }
      context.stroke();
    }
    context.restore();
  }

  #drawMarkBands(context: CanvasRenderingContext2D, colors: BoardColors): void {
    const { marks, selectedMark, view } = this.#model;
    const set = marks.book.marks;
    if (set.size === 0 || set.countWithin(view.value) > MAX_SINGLE_MARKS) return;
    const layers = this.layers;
    for (const mark of set.within(view.value)) {
      const at = layers.indexOf(mark.layer);
      if (at < 0) continue;
      const [x, right] = [this.#xOf(mark.startNs), this.#xOf(mark.endNs)];
      const color = colors.marks[at % colors.marks.length];
      context.globalAlpha = mark.key === selectedMark.value ? 0.35 : 0.16;
      context.fillStyle = color;
      context.fillRect(x, this.#top, Math.max(1, right - x), this.lanesHeight);
      context.globalAlpha = 1;
    }
  }

  #drawTracks(context: CanvasRenderingContext2D, colors: BoardColors): void {
    const { marks, selectedMark, view } = this.#model;
    const set = marks.book.marks;
    const isDense = set.countWithin(view.value) > MAX_SINGLE_MARKS;
    const seen = isDense ? [] : set.within(view.value);
    context.textAlign = 'left';
    for (const [at, layer] of this.layers.entries()) {
      const y = AXIS + at * TRACK;
      const color = colors.marks[at % colors.marks.length];
      context.fillStyle = colors.track;
      context.fillRect(GUTTER, y, this.plotWidth, TRACK - 2);
      context.fillStyle = color;
      if (isDense) {
        const density = set.density(view.value, Math.round(this.plotWidth), layer);
        const most = density.reduce((max, each) => Math.max(max, each), 1);
        density.forEach((count, x) => {
          if (count === 0) return;
          const tall = Math.max(2, ((TRACK - 4) * count) / most);
          context.fillRect(GUTTER + x, y + TRACK - 2 - tall, 1, tall);
        });
        continue;
      }
      const own = seen.filter((mark) => mark.layer === layer);
      for (const [i, mark] of own.entries()) {
        const [x, right] = [this.#xOf(mark.startNs), this.#xOf(mark.endNs)];
        const isChosen = mark.key === selectedMark.value;
        context.globalAlpha = isChosen ? 1 : mark.endNs > mark.startNs ? 0.45 : 0.9;
        context.fillStyle = color;
        context.fillRect(x, y, Math.max(2, right - x), TRACK - 2);
        context.globalAlpha = 1;
        const next = i + 1 < own.length ? this.#xOf(own[i + 1].startNs) : this.#size.width;
        const room = next - Math.max(x, GUTTER) - 8;
        const long = context.measureText(mark.label).width;
        if (long > room) continue;
        context.fillStyle = isChosen && right - x > long + 8 ? colors.paper : colors.text;
        context.fillText(mark.label, Math.max(x, GUTTER) + 5, y + TRACK / 2 - 1);
      }
    }
  }

  #drawGutter(context: CanvasRenderingContext2D, colors: BoardColors): void {
    const scale = window.devicePixelRatio;
    context.textAlign = 'right';
    context.fillStyle = colors.faint;
    for (const [at, layer] of this.layers.entries())
      context.fillText(layer, GUTTER - 10, AXIS + at * TRACK + TRACK / 2 - 1, GUTTER - 16);
    context.save();
    context.beginPath();
    context.rect(0, this.#top, this.#size.width, this.lanesHeight);
    context.clip();
    const isOver = this.#model.state.peek().layout === 'butterfly';
    let free = 0;
    for (const { lane, top, height, range } of isOver ? this.#framed.slice(0, 1) : this.#framed) {
      const [y, tall] = [this.#top + top / scale, height / scale];
      const isActive = lane === this.#model.activeLane;
      if (isActive && !isOver) {
        context.fillStyle = colors.active;
        context.fillRect(0, y, 3, tall);
      }
      if (tall >= 4) {
        context.fillStyle = colors.grid;
        context.fillRect(0, Math.round(y + tall), this.#size.width, 1);
      }
      // Of lanes that are lower than their names, some have theirs.
      if (y + tall / 2 < free) continue;
      free = y + tall / 2 + NAMED_LANE;
      const [red, green, blue] = lane.isBad ? colors.bad : colors.lanes[lane.hue % colors.lanes.length];
      const name = isOver ? `${this.#framed.length} lanes` : lane.isBad ? `${lane.label} (bad)` : lane.label;
      context.fillStyle = isOver ? colors.text : `rgb(${red} ${green} ${blue})`;
      context.fillText(
        name,
        GUTTER - 10,
        y + tall / 2 - (lane.unit === '' || tall < 2 * NAMED_LANE ? 0 : FONT / 2),
        GUTTER - 20,
      );
      context.fillStyle = colors.faint;
      if (lane.unit !== '' && tall >= 2 * NAMED_LANE)
        context.fillText(lane.unit, GUTTER - 10, y + tall / 2 + FONT / 2 + 2, GUTTER - 20);
      if (tall < RANGED_LANE) continue;
      const step = (range.high - range.low) / tall;
      context.fillText(valueText(range.high, step), GUTTER - 10, y + FONT / 2 + 4, GUTTER - 20);
      context.fillText(valueText(range.low, step), GUTTER - 10, y + tall - FONT / 2 - 4, GUTTER - 20);
    }
    context.restore();
  }

  /** Draws the cursor and the selection. */
  drawFront(): void {
    const context = this.#front.getContext('2d');
    if (!context || !this.isSized) return;
    const scale = window.devicePixelRatio;
    const colors = boardColors(this.#base);
    const { cursorNs, selection, view, timeStyle } = this.#model;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, this.#size.width, this.#size.height);
    const chosen = selection.value;
    if (chosen) {
      const [x, right] = [Math.max(GUTTER, this.#xOf(chosen.startNs)), this.#xOf(chosen.endNs)];
      context.globalAlpha = 0.2;
      context.fillStyle = colors.active;
      if (right > x) context.fillRect(x, AXIS, right - x, this.#size.height - AXIS);
      context.globalAlpha = 1;
    }
    const ns = cursorNs.value;
    if (ns === null || ns < view.value.startNs || ns > view.value.endNs) return;
    const x = Math.round(this.#xOf(ns)) + 0.5;
    context.strokeStyle = colors.text;
    context.beginPath();
    context.moveTo(x, AXIS);
    context.lineTo(x, this.#size.height);
    context.stroke();
    context.font = `${FONT}px ${colors.font}`;
    context.textBaseline = 'middle';
    const label = tickLabel(ns, this.nsOf(1) > 0n ? decimalBelow(this.nsOf(1)) : 1n, timeStyle.value);
    const long = context.measureText(label).width + 10;
    const left = Math.min(x, this.#size.width - long);
    context.fillStyle = colors.text;
    context.fillRect(left, 2, long, AXIS - 5);
    context.fillStyle = colors.paper;
    context.fillText(label, left + 5, AXIS / 2);
  }

  /** Where the view would be, moved by so many pixels. */
  panned(view: ViewWindow, pixels: number): ViewWindow {
    return movedBy(view, -this.nsOf(pixels));
  }
}

/** The largest power of ten that is no longer than this. */
function decimalBelow(ns: bigint): bigint {
  return 10n ** BigInt(String(ns).length - 1);
}
