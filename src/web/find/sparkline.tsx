/** The shape of a series in a table row: the band from minimum to maximum, asked for when it comes into sight. */
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { BAND_HEIGHT, bandPath, type BandBuckets } from './band-path.ts';
import { dataOf, isAbort, type Api, type SeriesItem } from '../api.ts';

const POINTS = 120;
/** Overviews that are asked for at once, for all rows. */
const MAX_UNDER_WAY = 4;

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
        <svg viewBox={`0 0 ${POINTS} ${BAND_HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
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
