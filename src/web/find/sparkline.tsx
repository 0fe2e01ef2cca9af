/** The shape of a series in a table row: the band from minimum to maximum, asked for when it comes into sight. */
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { dataOf, isAbort, type Api, type SeriesItem } from '../api.ts';

const POINTS = 120;
const HEIGHT = 28;
/** A line that is thinner than this cannot be seen. */
const MIN_BAND = 1;
/** Overviews that are asked for at once, for all rows. */
const MAX_UNDER_WAY = 4;

export interface BandBuckets {
  readonly min: readonly (number | string | null)[];
  readonly max: readonly (number | string | null)[];
}

/** The outline of a band in a box of `min.length` × {@link HEIGHT}, broken where nothing was recorded. */
export function bandPath({ min, max }: BandBuckets): string {
  const low = min.map(numberOf);
  const high = max.map(numberOf);
  const known = [...low, ...high].filter((each) => each !== null);
  if (known.length === 0) return '';
  const bottom = known.reduce((a, b) => Math.min(a, b));
  const range = known.reduce((a, b) => Math.max(a, b)) - bottom || 1;
  const y = (value: number): number => (HEIGHT - 2) * (1 - (value - bottom) / range) + 1;
  return low
    .flatMap((from, i) => {
      const to = high[i];
      if (from === null || to === null || to === undefined) return [];
      // A column reaches to its neighbour, so that a steep flank is one line.
      const before = i > 0 ? high[i - 1] : null;
      const beforeLow = i > 0 ? low[i - 1] : null;
      const top = y(beforeLow !== null && beforeLow !== undefined && beforeLow > to ? beforeLow : to);
      const end = y(before !== null && before !== undefined && before < from ? before : from);
      return `M${i} ${top.toFixed(1)}h1V${Math.max(end, top + MIN_BAND).toFixed(1)}h-1z`;
    })
    .join('');
}

function numberOf(value: number | string | null): number | null {
  const number = value === null ? NaN : Number(value);
  return Number.isFinite(number) ? number : null;
}

export function Sparkline({ api, series }: { readonly api: Api; readonly series: SeriesItem }) {
  const box = useRef<HTMLDivElement>(null);
  const path = useSignal<string | null>(null);
  const { id, commit } = series;
  useEffect(() => {
    const abort = new AbortController();
    const sight = new IntersectionObserver((entries) => {
      if (!entries.some((each) => each.isIntersecting)) return;
      sight.disconnect();
      inTurn(abort.signal, async () => {
        const query = { points: POINTS, format: 'json' as const };
        const answer = await dataOf(
          api.GET('/v1/series/{id}/samples', { params: { path: { id }, query }, signal: abort.signal }),
        );
        const [channel] = (answer as unknown as { channels: BandBuckets[] }).channels;
        path.value = channel?.min && channel.max ? bandPath(channel) : '';
      }).catch((error: unknown) => {
        if (!isAbort(error)) path.value = '';
      });
    });
    if (box.current) sight.observe(box.current);
    return () => {
      abort.abort();
      sight.disconnect();
    };
  }, [id, commit]);
  return (
    <div ref={box} class={path.value === null ? 'spark skeleton' : 'spark'}>
      {path.value ? (
        <svg viewBox={`0 0 ${POINTS} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
          <path d={path.value} />
        </svg>
      ) : null}
    </div>
  );
}

let underWay = 0;
const waiting: (() => void)[] = [];

async function inTurn(abort: AbortSignal, run: () => Promise<void>): Promise<void> {
  if (underWay >= MAX_UNDER_WAY) await new Promise<void>((resolve) => waiting.push(resolve));
  else underWay++;
  try {
    if (!abort.aborted) await run();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else underWay--;
  }
}
