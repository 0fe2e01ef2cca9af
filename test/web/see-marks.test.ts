/** Annotations as the page edits them. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { bodyOfMark, MarkBook, type ListedMark } from '../../src/web/see/mark-book.ts';
import { MarkSet, type LaneMark } from '../../src/web/see/mark-set.ts';
import { modelRuns } from '../support/model-runs.ts';

const mark = (key: string, startNs: bigint, endNs = startNs, label = 'N', layer = 'marks'): LaneMark => ({
  key,
  seriesId: 's',
  startNs,
  endNs,
  label,
  layer,
  channels: null,
  author: null,
  payload: {},
});

const listed = (id: string, start: number, end = start): ListedMark => ({
  id,
  start: String(start),
  end: String(end),
  label: 'N',
  payload: {},
});

describe('a set of marks', () => {
  test('finds exactly those that touch a view, long ones that begin before it, too', () => {
    const spans = fc.array(fc.tuple(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 0, max: 200 })), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(spans, fc.integer({ min: 0, max: 500 }), fc.integer({ min: 1, max: 100 }), (list, from, length) => {
        const set = new MarkSet();
        list.forEach(([start, long], i) => set.put(mark(`m${i}`, BigInt(start), BigInt(start + long))));
        const view = { startNs: BigInt(from), endNs: BigInt(from + length) };
        const wanted = list.flatMap(([start, long], i) =>
          start < from + length && (start + long > from || start >= from) ? [`m${i}`] : [],
        );
        expect(
          set
            .within(view)
            .map(({ key }) => key)
            .sort(),
        ).toEqual(wanted.sort());
        expect(set.countWithin(view)).toBe(wanted.length);
      }),
      { numRuns: modelRuns(100) },
    );
  });

  test('stays in order while marks come, change and go', () => {
    const steps = fc.array(
      fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: -50, max: 50 }), fc.nat(60), fc.boolean()),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(steps, (list) => {
        const set = new MarkSet();
        set.swap([], [mark('m0', 3n), mark('m1', 1n, 40n)]);
        const known = new Map([
          ['m0', mark('m0', 3n)],
          ['m1', mark('m1', 1n, 40n)],
        ]);
        for (const [name, start, long, isGone] of list) {
          set.all();
          const each = mark(`m${name}`, BigInt(start), BigInt(start + long));
          if (isGone) set.remove(each.key);
          else set.put(each);
          if (isGone) known.delete(each.key);
          else known.set(each.key, each);
          const view = { startNs: BigInt(start - 5), endNs: BigInt(start + 5) };
          const fresh = new MarkSet();
          fresh.swap([], [...known.values()]);
          expect(set.all()).toEqual(fresh.all());
          expect(set.within(view)).toEqual(fresh.within(view));
        }
      }),
      { numRuns: modelRuns(50) },
    );
  });

  test('of a hundred thousand is drawn as columns that are fuller or emptier, and its nearest is found', () => {
    const set = new MarkSet();
    const beat = (i: number): LaneMark =>
      mark(`m${i}`, BigInt(i) * 1_000_000n, BigInt(i) * 1_000_000n, 'N', i % 2 ? 'odd' : 'marks');
    set.swap(
      [],
      Array.from({ length: 100_000 }, (_, i) => beat(i)),
    );
    const density = set.density({ startNs: 0n, endNs: 100_000_000_000n }, 1000, 'odd');
    expect([...new Set(density)]).toEqual([50]);
    expect(set.layers()).toEqual(['marks', 'odd']);
    expect(set.nearest(5_400_000n, 1_000_000n, null)?.key).toBe('m5');
    expect(set.nearest(5_400_000n, 3_000_000n, 'marks')?.key).toBe('m6');
    expect(set.nearest(5_400_000n, 100n, null)).toBeNull();
    expect([set.beside(5_000_000n, 1)?.key, set.beside(5_000_000n, -1)?.key]).toEqual(['m6', 'm4']);
  });
});

describe('editing marks', () => {
  test('undoes every step without a limit, and does it again', () => {
    const book = new MarkBook();
    book.load('s', [listed('a', 1), listed('b', 2)]);
    const states: string[] = [];
    const state = (): string => JSON.stringify(book.marks.all().map(({ key, label }) => [key, label]));
    for (let i = 0; i < 300; i++) {
      states.push(state());
      const [first] = book.marks.all();
      if (i % 3 === 0) book.add(mark(`n${i}`, BigInt(i)));
      else if (i % 3 === 1) book.replace(first, { ...first, label: `L${i}` });
      else book.remove([first]);
    }
    const last = state();
    for (const before of states.toReversed()) {
      book.undo();
      expect(state()).toBe(before);
    }
    expect([book.canUndo, book.unsaved()]).toEqual([false, { add: [], remove: [] }]);
    while (book.canRedo) book.redo();
    expect(state()).toBe(last);
  });

  test('tells the service of what differs alone, a change as a new one and a removal', () => {
    const book = new MarkBook();
    book.load('s', [listed('a', 1), listed('b', 2), listed('c', 3)]);
    const [a, b] = book.marks.all();
    const moved = { ...a, startNs: 7n, endNs: 9n };
    book.replace(a, moved);
    book.remove([b]);
    book.add(mark('new', 5n));
    expect(book.unsaved().add.map(({ key }) => key)).toEqual(['a', 'new']);
    expect(book.unsaved().remove.map(({ id }) => id)).toEqual(['a', 'b']);
    book.wasAdded(moved, 'a2');
    book.wasRemoved('a', 'a');
    book.wasRemoved('b', 'b');
    book.wasAdded(mark('new', 5n), 'n1');
    expect(book.unsaved()).toEqual({ add: [], remove: [] });
    // Undoing what was saved is a change again.
    book.undo();
    expect(book.unsaved()).toEqual({ add: [], remove: [{ key: 'new', seriesId: 's', id: 'n1' }] });
  });

  test('survives a reload as a draft, with its undo', () => {
    const book = new MarkBook();
    book.load('s', [listed('a', 1), listed('b', 2)]);
    expect(book.draft()).toBeNull();
    book.add(mark('n', 5n, 8n, 'artefact', 'quality'));
    book.remove([book.marks.get('a')!]);
    const text = book.draft()!;

    const again = new MarkBook();
    expect(again.restore(text)).toBe(true);
    again.load('s', [listed('a', 1), listed('b', 2)]);
    expect(again.marks.all().map(({ key }) => key)).toEqual(['b', 'n']);
    expect(again.unsaved()).toEqual(book.unsaved());
    again.undo();
    expect(again.marks.all().map(({ key }) => key)).toEqual(['a', 'b', 'n']);
    expect(new MarkBook().restore('{')).toBe(false);
  });

  test('a mark of a layer goes to the service and comes back as it was', () => {
    const body = bodyOfMark({
      ...mark('k', 5n, 8n, 'artefact', 'quality'),
      channels: ['MLII'],
      author: 'M. Curie',
      payload: { note: 1 },
    });
    expect(body).toEqual({
      start: '5',
      end: '8',
      label: 'artefact',
      payload: { note: 1, layer: 'quality' },
      channels: ['MLII'],
      author: 'M. Curie',
    });
    const book = new MarkBook();
    book.load('s', [{ ...listed('x', 5, 8), payload: { note: 1, layer: 'quality' } }]);
    expect(book.marks.get('x')).toMatchObject({ layer: 'quality', payload: { note: 1 } });
  });
});
