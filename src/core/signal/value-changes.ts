/** A value that is kept only where it changes: what of new ones is news beside those that are kept. */

/** Who says so, of annotations that are such values: other annotations of a series are none. */
export const VALUE_AUTHOR = 'line protocol';

/** From its time on the value is this, until the next one says another. */
export interface ValueAt {
  readonly ns: bigint;
  readonly text: string;
}

export interface KeptValue extends ValueAt {
  readonly id: string;
}

export interface ValueChanges {
  readonly added: readonly ValueAt[];
  /** Kept values of the same time that say something else now. */
  readonly changed: readonly KeptValue[];
}

/**
 * @param kept in order of time: all from the last one before the first new value on, up to the last new one
 * @param values in any order; of two of one time the later one holds
 */
export function changesOf(kept: readonly KeptValue[], values: readonly ValueAt[]): ValueChanges {
  const latest = new Map(values.map((value) => [value.ns, value]));
  const sorted = [...latest.values()].sort((a, b) => (a.ns < b.ns ? -1 : 1));
  const added: ValueAt[] = [];
  const changed: KeptValue[] = [];
  let next = 0;
  let text: string | null = null;
  for (const value of sorted) {
    for (; next < kept.length && kept[next].ns < value.ns; next++) ({ text } = kept[next]);
    let same: KeptValue | null = null;
    for (; next < kept.length && kept[next].ns === value.ns; next++) same = kept[next];
    if (same) {
      if (same.text !== value.text) changed.push({ ...same, text: value.text });
    } else if (value.text !== text) added.push(value);
    ({ text } = value);
  }
  return { added, changed };
}
