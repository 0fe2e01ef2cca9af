/** A series as an array in memory: what appends, replacements and removals must come to, and nothing of how they are stored. */
import { nsOfRow, type Rate } from '../../src/core/rate.ts';
import { INT64_MAX, INT64_MIN } from '../../src/core/time.ts';
import type { DuplicateRule } from '../../src/core/series.ts';

export interface ModelRow {
  readonly row: number;
  readonly ns: bigint;
  /** Stands for all values of the row. */
  readonly value: number;
}

/** What a step must lead to: how many rows a removal takes away, or the slug of the refusal. */
export type Expected = { readonly removed: number | null } | { readonly refused: string };

export class RegularModel {
  readonly #rate: Rate;
  #rows: (ModelRow & { readonly isThere: boolean })[] = [];
  #segment = { startNs: 0n, rows: 0 };

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  /** Row numbers given out. */
  get rows(): number {
    return this.#rows.length;
  }

  get removed(): number {
    return this.#rows.filter(({ isThere }) => !isThere).length;
  }

  get endNs(): bigint {
    return this.#segment.startNs + nsOfRow(this.#rate, this.#segment.rows);
  }

  /** Time of a row; of one past the end, where the data end. */
  nsOf(row: number): bigint {
    return this.#rows[row]?.ns ?? this.endNs;
  }

  /** @param startNs null: goes on */
  append(values: readonly number[], startNs: bigint | null): void {
    if (startNs !== null) this.#segment = { startNs, rows: 0 };
    for (const value of values) {
      this.#rows.push({ row: this.#rows.length, ns: this.endNs, value, isThere: true });
      this.#segment.rows++;
    }
  }

  /** Rows of a range, removed ones among them. */
  countIn(startNs: bigint, endNs: bigint): number {
    return this.#rows.filter(({ ns }) => ns >= startNs && ns < endNs).length;
  }

  replace(startNs: bigint, endNs: bigint, values: readonly number[]): Expected {
    const count = this.countIn(startNs, endNs);
    if (count === 0) return { refused: 'range-empty' };
    if (count !== values.length) return { refused: 'rows-differ' };
    let at = 0;
    this.#rows = this.#rows.map((row) =>
      row.ns >= startNs && row.ns < endNs ? { ...row, value: values[at++], isThere: true } : row,
    );
    return { removed: null };
  }

  remove(startNs: bigint, endNs: bigint): Expected {
    if (this.countIn(startNs, endNs) === 0) return { refused: 'range-empty' };
    const before = this.removed;
    this.#rows = this.#rows.map((row) => (row.ns >= startNs && row.ns < endNs ? { ...row, isThere: false } : row));
    return { removed: this.removed - before };
  }

  byTime(startNs: bigint, endNs: bigint): ModelRow[] {
    return this.#rows.filter(({ isThere, ns }) => isThere && ns >= startNs && ns < endNs);
  }

  byRows(from: number, to: number): ModelRow[] {
    return this.#rows.filter(({ isThere, row }) => isThere && row >= from && row < to);
  }
}

export class IrregularModel {
  readonly #rule: DuplicateRule;
  #rows: (ModelRow & { readonly isThere: boolean })[] = [];
  removed = 0;

  constructor(rule: DuplicateRule) {
    this.#rule = rule;
  }

  get rows(): number {
    return this.#rows.length;
  }

  append(times: readonly bigint[], values: readonly number[]): Expected {
    const newest = this.#rows.reduce<bigint | null>(
      (last, { isThere, ns }) => (isThere && (last === null || ns > last) ? ns : last),
      null,
    );
    if (this.#rule === 'error' && newest !== null && times[0] <= newest) {
      return { refused: 'time-not-increasing' };
    }
    this.#add(times, values);
    return { removed: null };
  }

  replace(startNs: bigint, endNs: bigint, times: readonly bigint[], values: readonly number[]): Expected {
    this.remove(startNs, endNs);
    this.#add(times, values);
    return { removed: null };
  }

  remove(startNs: bigint, endNs: bigint): Expected {
    const removed = this.byTime(startNs, endNs).length;
    this.#rows = this.#rows.map((row) => (row.ns >= startNs && row.ns < endNs ? { ...row, isThere: false } : row));
    this.removed += removed;
    return { removed };
  }

  byTime(startNs: bigint, endNs: bigint): ModelRow[] {
    const there = this.#rows.filter(({ isThere, ns }) => isThere && ns >= startNs && ns < endNs);
    const inOrder = there.sort((a, b) => (a.ns === b.ns ? a.row - b.row : a.ns < b.ns ? -1 : 1));
    return this.#rule === 'keep' ? inOrder : inOrder.filter(({ ns }, i) => inOrder[i + 1]?.ns !== ns);
  }

  /** Counted in order of time. */
  byRows(from: number, to: number): ModelRow[] {
    return this.byTime(INT64_MIN, INT64_MAX).slice(from, to);
  }

  #add(times: readonly bigint[], values: readonly number[]): void {
    for (const [i, ns] of times.entries()) {
      this.#rows.push({ row: this.#rows.length, ns, value: values[i], isThere: true });
    }
  }
}
