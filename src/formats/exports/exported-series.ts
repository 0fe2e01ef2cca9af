/** A regular series on its way into a file of a lab, and what such a file keeps to. */
import type { SampleArray } from '../../core/numbers/dtype.ts';
import { unprocessableField, type VarveError } from '../../core/errors.ts';
import { formatRate, type Rate } from '../../core/signal/rate.ts';
import type { Annotation, Series } from '../../core/signal/series.ts';

/** Rows that follow each other evenly. */
export interface ExportedSpan {
  readonly startNs: bigint;
  readonly rows: number;
}

export interface ExportedSeries {
  readonly series: Pick<
    Series,
    'name' | 'dtype' | 'channels' | 'unit' | 'scale' | 'offset' | 'timeReference' | 'missingValue'
  >;
  readonly rate: Rate;
  /** In order of time; at least one. */
  readonly spans: readonly ExportedSpan[];
  readonly annotations: readonly Annotation[];
  /** Stored values of all spans, rows × channels, in blocks of whole rows. */
  values(): AsyncIterable<SampleArray>;
}

/** One file of an export. */
export interface ExportedPart {
  readonly name: string;
  /** @throws unprocessable `would-lose` where a value turns out to have no place in the format */
  write(): AsyncIterable<Uint8Array>;
}

/** All that is decided before a byte is written. */
export interface ExportPlan {
  /** In the order in which they are to be written: later ones may tell of earlier ones. */
  readonly parts: readonly ExportedPart[];
  /** What the file does not have of the series, besides samples, times, labels and calibration. */
  readonly notes: readonly string[];
}

/** The format has no place for something that must not be lost. @param series its name, in front of the reason */
export function wouldLose(series: string, reason: string): VarveError {
  return unprocessableField(series, reason, 'would-lose');
}

/** The label of a channel in a file that knows no series: that of a single unnamed channel is the series' name. */
export function signalLabel({ name, channels }: ExportedSeries['series'], channel: number): string {
  const { label } = channels[channel];
  return channels.length === 1 && label === 'value' ? name.slice(name.lastIndexOf('/') + 1) : label;
}

export function exportedRows({ spans }: ExportedSeries): number {
  return spans.reduce((sum, { rows }) => sum + rows, 0);
}

/**
 * Integers as 32 bits hold them, in the order of rows.
 * @param mark what readers of the format take for missing; null: nothing
 * @throws would-lose for a row that is missing and would not be, or the other way round
 */
export async function* integersOf(
  { series: { name, missingValue }, values }: ExportedSeries,
  format: string,
  mark: number | null = null,
): AsyncGenerator<Int32Array> {
  const missing = missingValue === null ? null : Number(missingValue);
  for await (const block of values()) {
    const integers = new Int32Array(block as Int32Array);
    if (missing !== mark && missing !== null && integers.includes(missing)) {
      throw wouldLose(name, `has missing values (${missing}), which ${format} would show as values`);
    }
    if (missing !== mark && mark !== null && integers.includes(mark)) {
      throw wouldLose(name, `has the value ${mark}, which ${format} would show as missing`);
    }
    yield integers;
  }
}

/** Consecutive values in pieces of the sizes that are asked for. */
export class SampleQueue {
  readonly #blocks: AsyncIterator<Int32Array>;
  #block: Int32Array = new Int32Array(0);
  #at = 0;

  constructor(blocks: AsyncIterable<Int32Array>) {
    this.#blocks = blocks[Symbol.asyncIterator]();
  }

  /** @throws Error if there are fewer values: the series has changed meanwhile */
  async take(count: number): Promise<Int32Array> {
    if (this.#at + count <= this.#block.length) {
      this.#at += count;
      return this.#block.subarray(this.#at - count, this.#at);
    }
    const out = new Int32Array(count);
    for (let filled = 0; filled < count;) {
      if (this.#at === this.#block.length) {
        const next = await this.#blocks.next();
        if (next.done) throw new Error('there are fewer samples than were planned');
        this.#block = next.value;
        this.#at = 0;
      }
      const part = this.#block.subarray(this.#at, this.#at + count - filled);
      out.set(part, filled);
      filled += part.length;
      this.#at += part.length;
    }
    return out;
  }

  /** Lets go of what was not taken. */
  async close(): Promise<void> {
    await this.#blocks.return?.();
  }
}

/** A rate as people write it. */
export function rateText(rate: Rate): string {
  return `${formatRate(rate).replace(/\/1$/, '')} Hz`;
}
