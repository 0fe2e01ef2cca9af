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

export function MiniMap({ model }: { readonly model: SeeModel }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const revision = useSignal(0);
  const source = useRef<SeriesSource | null>(null);
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
    draw(element, model, source.current);
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

function draw(canvas: HTMLCanvasElement, model: SeeModel, source: SeriesSource): void {
  const scale = window.devicePixelRatio;
  const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
  const context = canvas.getContext('2d');
  if (!context || width === 0) return;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const colors = boardColors(canvas);
  const view = model.whole;
  const question = { view, columns: width, lanes: 1 };
  source.want({ ...question, channels: [0] });
  const map = mapColumns(source.shown(question, 0), {
    view,
    columns: width,
    gaps: source.gapsWithin(view),
    joinNs: source.joinNs,
  });
  const band = fillColumns(map, 0);
  const image = new ImageData(width, height);
  const { slope, intercept } = heightsOf(laneRange({ seen: rangeOfBand(band), fixed: null, gain: 1 }), 0, height);
  const [red, green, blue] = colors.lanes[0];
  paintBand({ pixels: new Uint32Array(image.data.buffer), width, height }, band, {
    slope,
    intercept,
    top: 0,
    bottom: height,
    color: pixelColor(red, green, blue, 150),
  });
  context.putImageData(image, 0, 0);
  const { marks } = model.marks.book;
  for (const [at, layer] of marks.layers().entries()) {
    context.fillStyle = colors.marks[at % colors.marks.length];
    marks
      .density(view, width, layer)
      .forEach((count, x) => count > 0 && context.fillRect(x, 0, 1, MARK_PIXELS * scale));
  }
  const { startNs, endNs } = model.view.peek();
  const [from, to] = [partOfTime(view, startNs) * width, partOfTime(view, endNs) * width];
  context.fillStyle = colors.active;
  context.globalAlpha = 0.18;
  context.fillRect(from, 0, Math.max(LEAST_PIXELS * scale, to - from), height);
  context.globalAlpha = 1;
  for (const x of [from, Math.max(to, from + LEAST_PIXELS * scale)]) context.fillRect(x - scale / 2, 0, scale, height);
}
