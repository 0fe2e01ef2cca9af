/** All of the data in a strip, with its annotations, and where the view lies in it. */
import { useSignal, useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { paintBand, pixelColor } from './band-pixels.ts';
import { boardColors } from './board-colors.ts';
import { fillColumns, mapColumns, rangeOfBand } from './pixel-columns.ts';
import type { SeeModel } from './see-model.ts';
import { SeriesSource } from './series-source.ts';
import { heightsOf, laneRange } from './value-scale.ts';
import { centredOn, partOfTime, timeAtPart } from './view-window.ts';

const MARK_PIXELS = 6;
const LEAST_PIXELS = 3;
/** The band is paler than those of the lanes. */
const ALPHA = 150;

export function MiniMap({ model }: { readonly model: SeeModel }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const revision = useSignal(0);
  const source = useRef<SeriesSource | null>(null);
  const picture = useRef<Picture | null>(null);
  useEffect(() => () => source.current?.close(), [model]);
  useSignalEffect(() => {
    void [revision.value, model.revision.value, model.view.value, model.isLoading.value];
    const element = canvas.current;
    const [first] = model.lanes.value;
    if (!element || !first) return;
    // It has a source of its own: what it asks for would stand in the way of what the lanes ask for.
    if (source.current?.series.id !== first.source.series.id) {
      source.current?.close();
      source.current = new SeriesSource(model.api, first.source.series, () => (revision.value = revision.peek() + 1));
    } else if (source.current.heardCommit < first.source.heardCommit) source.current.heardOf(first.source.heardCommit);
    picture.current = draw(element, model, source.current, picture.current);
  });
  const move = (event: PointerEvent): void => {
    const element = canvas.current;
    if (!element || (event.type === 'pointermove' && (event.buttons & 1) === 0)) return;
    if (event.type === 'pointerdown') element.setPointerCapture(event.pointerId);
    const { left, width } = element.getBoundingClientRect();
    model.show(centredOn(model.view.peek(), timeAtPart(model.whole, (event.clientX - left) / width)));
  };
  return <canvas class="see-minimap" ref={canvas} aria-hidden="true" onPointerDown={move} onPointerMove={move} />;
}

/** What does not change while the view is moved is drawn once. */
interface Picture {
  readonly canvas: HTMLCanvasElement;
  readonly key: string;
}

/** @returns the picture, as it was or made anew */
function pictureOf(known: Picture | null, model: SeeModel, source: SeriesSource, canvas: HTMLCanvasElement): Picture {
  const scale = window.devicePixelRatio;
  const { width, height } = canvas;
  const view = model.whole;
  const question = { view, columns: width, lanes: 1 };
  source.want({ ...question, channels: [0] });
  const parts = source.shown(question, 0);
  const colors = boardColors(canvas);
  const { marks } = model.marks.book;
  const blocks = parts.map(({ block, startNs, endNs }) => `${block.commit} ${block.level} ${startNs} ${endNs}`);
  const key = [width, height, view.startNs, view.endNs, colors.text, marks.version, ...blocks].join();
  if (known?.key === key) return known;
  const made = known?.canvas ?? document.createElement('canvas');
  [made.width, made.height] = [width, height];
  const context = made.getContext('2d');
  if (!context) return { canvas: made, key };
  const map = mapColumns(parts, { view, columns: width, gaps: source.gapsWithin(view), joinNs: source.joinNs });
  const band = fillColumns(map, 0);
  const image = new ImageData(width, height);
  const { slope, intercept } = heightsOf(laneRange({ seen: rangeOfBand(band), fixed: null, gain: 1 }), 0, height);
  const [red, green, blue] = colors.lanes[0];
  const color = pixelColor(red, green, blue, ALPHA);
  const field = { pixels: new Uint32Array(image.data.buffer), width, height };
  paintBand(field, band, { slope, intercept, top: 0, bottom: height, color });
  context.putImageData(image, 0, 0);
  for (const [at, layer] of marks.layers().entries()) {
    context.fillStyle = colors.marks[at % colors.marks.length];
    marks
      .density(view, width, layer)
      .forEach((count, x) => count > 0 && context.fillRect(x, 0, 1, MARK_PIXELS * scale));
  }
  return { canvas: made, key };
}

function draw(canvas: HTMLCanvasElement, model: SeeModel, source: SeriesSource, known: Picture | null): Picture | null {
  const scale = window.devicePixelRatio;
  const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
  const context = canvas.getContext('2d');
  if (!context || width === 0) return known;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const picture = pictureOf(known, model, source, canvas);
  context.clearRect(0, 0, width, height);
  context.drawImage(picture.canvas, 0, 0);
  const { startNs, endNs } = model.view.peek();
  const [from, to] = [startNs, endNs].map((ns) => partOfTime(model.whole, ns) * width);
  context.fillStyle = boardColors(canvas).active;
  context.globalAlpha = 0.18;
  context.fillRect(from, 0, Math.max(LEAST_PIXELS * scale, to - from), height);
  context.globalAlpha = 1;
  for (const x of [from, Math.max(to, from + LEAST_PIXELS * scale)]) context.fillRect(x - scale / 2, 0, scale, height);
  return picture;
}
