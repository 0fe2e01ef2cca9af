/** The spectrum of the active lane in what is seen. */
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { isAbort, sentenceOf } from '../api.ts';
import { boardColors } from './board-colors.ts';
import { SeeDialog, type PanelProps } from './see-dialog.tsx';
import type { Lane } from './lane-frame.ts';
import { spectrumOf, type PowerSpectrum } from './spectrum.ts';
import type { SeeModel } from './see-model.ts';
import { centredOn, timeAtPart, viewLength } from './view-window.ts';

/** So many samples are transformed in some milliseconds; of a longer view it is the middle. */
const MAX_SAMPLES = 65_536;
const MARGIN = { left: 56, bottom: 28, top: 10, right: 12 };
const DECADES = 6;
const FREQUENCY_TICKS = 8;

interface FoundSpectrum {
  readonly spectrum: PowerSpectrum;
  readonly samples: number;
  readonly isMiddle: boolean;
}

export function SpectrumPanel({ model, close }: PanelProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const found = useSignal<FoundSpectrum | null>(null);
  const said = useSignal('Reading the samples …');
  const lane = model.activeLane;
  useEffect(() => {
    const stop = new AbortController();
    if (!lane) return undefined;
    read(model, lane, stop.signal).then(
      (answer) => {
        if (typeof answer === 'string') said.value = answer;
        else {
          found.value = answer;
          const { spectrum, samples, isMiddle } = answer;
          const peak = spectrum.power.reduce((best, each, k) => (k > 0 && each > spectrum.power[best] ? k : best), 1);
          said.value = `${samples} samples${isMiddle ? ' from the middle of the view' : ''}, mean of ${spectrum.segments} spectra. Most power at ${Number(spectrum.hz[peak].toPrecision(5))} Hz.`;
        }
      },
      (error: unknown) => {
        if (!isAbort(error)) said.value = sentenceOf(error);
      },
    );
    return () => stop.abort();
  }, [lane]);
  useEffect(() => {
    if (canvas.current && found.value) draw(canvas.current, found.value.spectrum, lane?.unit ?? '');
  }, [found.value]);
  return (
    <SeeDialog title={`Spectrum of ${lane?.label ?? 'no lane'}`} close={close}>
      <canvas class="see-spectrum" ref={canvas} role="img" aria-label={said.value} />
      <p aria-live="polite">{said.value}</p>
    </SeeDialog>
  );
}

/** @returns a sentence where there is none */
async function read(model: SeeModel, lane: Lane, signal: AbortSignal): Promise<FoundSpectrum | string> {
  const { series } = lane.source;
  const rate = lane.source.rateHz;
  if (rate === null) return 'An irregular series has no spectrum: its rows are not evenly spaced.';
  const view = model.view.peek();
  const rows = (Number(viewLength(view)) / 1e9) * rate;
  const isMiddle = rows > MAX_SAMPLES;
  const long = isMiddle ? BigInt(Math.round((MAX_SAMPLES / rate) * 1e9)) : viewLength(view);
  const part = centredOn({ startNs: view.startNs, endNs: view.startNs + long }, timeAtPart(view, 0.5));
  const query = new URLSearchParams({
    start: String(part.startNs),
    end: String(part.endNs),
    physical: 'true',
    orient: 'channels',
    format: 'json',
  });
  query.append('channels[]', series.channels[lane.channel].label);
  const response = await model.api.raw(`/v1/series/${series.id}/samples?${query.toString()}`, { signal });
  const { times, values } = (await response.json()) as {
    times: string[];
    values: (number | string | null)[][] | (number | string | null)[];
  };
  if (times.length === 0) return 'There are no samples in view.';
  const list = (Array.isArray(values[0]) ? values[0] : values) as (number | string | null)[];
  // Rows that are missing part the signal.
  const first = BigInt(times[0]);
  const placeOf = (time: string): number => Math.round((Number(BigInt(time) - first) / 1e9) * rate);
  const evenly = new Float64Array(placeOf(times[times.length - 1]) + 1).fill(Number.NaN);
  times.forEach((time, i) => (evenly[placeOf(time)] = list[i] === null ? Number.NaN : Number(list[i])));
  const spectrum = spectrumOf(evenly, rate);
  return spectrum
    ? { spectrum, samples: times.length, isMiddle }
    : 'Too few samples follow each other without a gap. Show more of them.';
}

function draw(canvas: HTMLCanvasElement, { hz, power }: PowerSpectrum, unit: string): void {
  const scale = window.devicePixelRatio;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const context = canvas.getContext('2d');
  if (!context || width === 0) return;
  [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
  context.setTransform(scale, 0, 0, scale, 0, 0);
  const colors = boardColors(canvas);
  const top = Math.ceil(Math.log10(power.reduce((max, each) => Math.max(max, each), Number.MIN_VALUE)));
  const [right, bottom] = [width - MARGIN.right, height - MARGIN.bottom];
  const xOf = (frequency: number): number => MARGIN.left + ((right - MARGIN.left) * frequency) / hz[hz.length - 1];
  const yOf = (value: number): number => {
    const below = Math.min(DECADES, top - Math.log10(Math.max(value, Number.MIN_VALUE)));
    return MARGIN.top + ((bottom - MARGIN.top) * below) / DECADES;
  };
  context.font = `12px ${colors.font}`;
  context.fillStyle = colors.faint;
  context.strokeStyle = colors.grid;
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  for (let decade = 0; decade <= DECADES; decade++) {
    const y = Math.round(yOf(10 ** (top - decade))) + 0.5;
    context.strokeRect(MARGIN.left, y, right - MARGIN.left, 0);
    context.fillText(`1e${top - decade}`, MARGIN.left - 6, y);
  }
  context.textAlign = 'center';
  for (let i = 0; i <= FREQUENCY_TICKS; i++) {
    const frequency = (hz[hz.length - 1] * i) / FREQUENCY_TICKS;
    context.fillText(`${Number(frequency.toPrecision(3))}`, xOf(frequency), bottom + 10);
  }
  context.fillText('Hz', right - 6, bottom + 22);
  context.textAlign = 'left';
  context.fillText(`${unit === '' ? 'power' : `(${unit})²`}/Hz`, MARGIN.left + 6, MARGIN.top + 8);
  const [red, green, blue] = colors.lanes[0];
  context.strokeStyle = `rgb(${red} ${green} ${blue})`;
  context.lineWidth = 1.25;
  context.beginPath();
  // Several frequencies of a column are drawn as the largest one, so that no peak is missed.
  for (let k = 1, x = -1, highest = 0; k < hz.length; k++) {
    highest = Math.max(highest, power[k]);
    const next = Math.floor(xOf(hz[k]));
    if (next === x && k < hz.length - 1) continue;
    context.lineTo(xOf(hz[k]), yOf(highest));
    x = next;
    highest = 0;
  }
  context.stroke();
}
