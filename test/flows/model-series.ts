/** A series as an array in memory: what appends, replacements and removals must come to, and nothing of how they are stored. */
import { nsOfRow, type Rate } from '../../src/core/signal/rate.ts';
import { INT64_MAX, INT64_MIN } from '../../src/core/time.ts';
import type { DuplicateRule } from '../../src/core/signal/series.ts';

export interface ModelRow {
  readonly row: number;
  readonly ns: bigint;
  /** Stands for all values of the row. */
  readonly value: number;
}

/** What a step must lead to: how many rows a removal takes away, or the slug of the refusal. */
export type Expected = { readonly removed: number | null } | { readonly refused: string };

interface RegularRow extends ModelRow {
  readonly isThere: boolean;
  /** Others have taken its time: it cannot come back. */
  readonly isLost: boolean;
}

export class RegularModel {
  readonly #rate: Rate;
  #rows: RegularRow[] = [];

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

  /** Where rows go that do not say it: a period after the last in time. */
  get endNs(): bigint {
    const last = this.byTime(INT64_MIN, INT64_MAX).at(-1);
    return last ? last.ns + nsOfRow(this.#rate, 1) : 0n;
  }

  /** Time of a row; of one past the end, where the data end. */
  nsOf(row: number): bigint {
    return this.#rows[row]?.ns ?? this.endNs;
  }

  /**
   * @param runs rows at one distance, each with the time of its first; null: they go on
   */
  append(runs: readonly { readonly values: readonly number[]; readonly startNs: bigint | null }[]): Expected {
    const before = this.#rows;
    for (const { values, startNs } of runs) {
      const times = this.#timesOf(values.length, startNs);
      const half = nsOfRow(this.#rate, 1) / 2n;
      const isTaken = (ns: bigint): boolean => times.some((own) => own - ns < half && ns - own < half);
      if (this.#rows.some((row) => row.isThere && isTaken(row.ns))) {
        this.#rows = before;
        return { refused: 'overlap' };
      }
      const kept = this.#rows.map((row) => (!row.isThere && isTaken(row.ns) ? { ...row, isLost: true } : row));
      const grid = this.#gridFor(startNs);
      const added = values.map((value, i): RegularRow => ({
        row: kept.length + i,
        ns: times[i],
        value,
        isThere: true,
        isLost: false,
      }));
      added.forEach(({ row }, i) =>
        this.#grids.set(row, grid ? { ...grid, at: grid.at + 1 + i } : { startNs: times[0], at: i }),
      );
      this.#rows = [...kept, ...added];
    }
    return { removed: null };
  }

  /** For each row: where its grid begins, and the row's place there. */
  readonly #grids = new Map<number, { readonly startNs: bigint; readonly at: number }>();

  #lastGrid(): { readonly startNs: bigint; readonly at: number } | null {
    const last = this.byTime(INT64_MIN, INT64_MAX).at(-1);
    return last ? this.#grids.get(last.row)! : null;
  }

  /** That of the row right before, within half a period: the newest one, or one that is there. */
  #gridFor(startNs: bigint | null): { readonly startNs: bigint; readonly at: number } | null {
    if (startNs === null) return this.#lastGrid();
    const half = nsOfRow(this.#rate, 1) / 2n;
    const near = [...this.#rows.slice(-1), ...this.#rows.filter(({ isThere }) => isThere)].find(({ row }) => {
      const grid = this.#grids.get(row)!;
      const off = grid.startNs + nsOfRow(this.#rate, grid.at + 1) - startNs;
      return off <= half && -off <= half;
    });
    return near ? this.#grids.get(near.row)! : null;
  }

  #timesOf(count: number, startNs: bigint | null): bigint[] {
    const grid = this.#gridFor(startNs);
    const first = grid ? grid.at + 1 : 0;
    const begin = grid ? grid.startNs : (startNs ?? 0n);
    return Array.from({ length: count }, (_, i) => begin + nsOfRow(this.#rate, first + i));
  }

  #isIn(row: RegularRow, startNs: bigint, endNs: bigint): boolean {
    return !row.isLost && row.ns >= startNs && row.ns < endNs;
  }

  /** Rows of a range, removed ones among them, in order of time. */
  #in(startNs: bigint, endNs: bigint): RegularRow[] {
    return this.#rows.filter((row) => this.#isIn(row, startNs, endNs)).sort((a, b) => (a.ns < b.ns ? -1 : 1));
  }

  countIn(startNs: bigint, endNs: bigint): number {
    return this.#in(startNs, endNs).length;
  }

  replace(startNs: bigint, endNs: bigint, values: readonly number[]): Expected {
    const range = this.#in(startNs, endNs);
    if (range.length === 0) return { refused: 'range-empty' };
    if (range.length !== values.length) return { refused: 'rows-differ' };
    const placed = new Map(range.map(({ row }, i) => [row, values[i]]));
    this.#rows = this.#rows.map((each) =>
      placed.has(each.row) ? { ...each, value: placed.get(each.row)!, isThere: true } : each,
    );
    return { removed: null };
  }

  remove(startNs: bigint, endNs: bigint): Expected {
    if (this.countIn(startNs, endNs) === 0) return { refused: 'range-empty' };
    const before = this.removed;
    this.#rows = this.#rows.map((row) => (this.#isIn(row, startNs, endNs) ? { ...row, isThere: false } : row));
    return { removed: this.removed - before };
  }

  byTime(startNs: bigint, endNs: bigint): ModelRow[] {
    return this.#in(startNs, endNs).filter(({ isThere }) => isThere);
  }

  /** In order of their numbers. */
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
