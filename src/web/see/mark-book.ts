/** Annotations as they are being edited: every step can be undone, and what is not saved yet survives as a draft. Pure. */
import { DEFAULT_LAYER, MarkSet, type LaneMark } from './mark-set.ts';

/** One step: what was there before, and what is there since. */
interface MarkStep {
  readonly before: readonly LaneMark[];
  readonly after: readonly LaneMark[];
}

/** What the service has of a mark. */
interface SavedMark {
  readonly id: string;
  readonly mark: LaneMark;
}

/** What the service has still to be told of. */
export interface UnsavedMarks {
  /** New ones, and those that were changed; the service takes a change as a new one and a removal. */
  readonly add: readonly LaneMark[];
  /** Ids that go. */
  readonly remove: readonly { readonly key: string; readonly seriesId: string; readonly id: string }[];
}

/** Annotations as the service lists them. */
export interface ListedMark {
  readonly id: string;
  readonly start: string;
  readonly end: string;
  readonly label: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly channels?: readonly string[];
  readonly author?: string;
}

export class MarkBook {
  readonly marks = new MarkSet();
  readonly #saved = new Map<string, SavedMark>();
  /** Keys of marks by id, where they are not the id itself. */
  #keys = new Map<string, string>();
  #steps: MarkStep[] = [];
  /** Steps that are done; the others were undone. */
  #done = 0;

  /** Takes in what the service has; marks that steps have touched stay as these left them. */
  load(seriesId: string, listed: readonly ListedMark[]): void {
    const touched = new Set(this.#steps.slice(0, this.#done).flatMap((step) => keysOf(step)));
    const loaded: LaneMark[] = [];
    for (const item of listed) {
      const key = this.#keys.get(item.id) ?? item.id;
      const mark = markOf(key, seriesId, item);
      this.#saved.set(key, { id: item.id, mark });
      if (!touched.has(key)) loaded.push(mark);
    }
    this.marks.swap([], loaded);
  }

  get canUndo(): boolean {
    return this.#done > 0;
  }

  get canRedo(): boolean {
    return this.#done < this.#steps.length;
  }

  add(mark: LaneMark): void {
    this.#do({ before: [], after: [mark] });
  }

  replace(before: LaneMark, after: LaneMark): void {
    this.#do({ before: [before], after: [after] });
  }

  remove(marks: readonly LaneMark[]): void {
    this.#do({ before: marks, after: [] });
  }

  undo(): void {
    if (this.#done === 0) return;
    const { before, after } = this.#steps[--this.#done];
    this.marks.swap(after, before);
  }

  redo(): void {
    if (this.#done === this.#steps.length) return;
    const { before, after } = this.#steps[this.#done++];
    this.marks.swap(before, after);
  }

  unsaved(): UnsavedMarks {
    const keys = new Set(this.#steps.flatMap(keysOf));
    const add: LaneMark[] = [];
    const remove: { key: string; seriesId: string; id: string }[] = [];
    for (const key of keys) {
      const [now, saved] = [this.marks.get(key), this.#saved.get(key)];
      if (now && saved && isSame(now, saved.mark)) continue;
      if (now) add.push(now);
      if (saved) remove.push({ key, seriesId: saved.mark.seriesId, id: saved.id });
    }
    return { add, remove };
  }

  /** The service has stored a mark under this id. What it had of it before is still to be removed. */
  wasAdded(mark: LaneMark, id: string): void {
    this.#saved.set(mark.key, { id, mark });
    this.#keys.set(id, mark.key);
  }

  /** The service has no mark of this id any more. */
  wasRemoved(key: string, id: string): void {
    if (this.#saved.get(key)?.id === id) this.#saved.delete(key);
  }

  /** What is not saved, as a text that a reload survives; null: there is nothing. */
  draft(): string | null {
    const { add, remove } = this.unsaved();
    if (add.length === 0 && remove.length === 0) return null;
    const keys = [...this.#keys];
    return JSON.stringify({ done: this.#done, steps: this.#steps, keys }, (_, value: unknown) =>
      typeof value === 'bigint' ? { ns: String(value) } : value,
    );
  }

  /** Takes up a draft, before anything is loaded. @returns false: it is none */
  restore(text: string): boolean {
    try {
      const { done, steps, keys } = JSON.parse(text, (_, value: unknown) =>
        isNs(value) ? BigInt(value.ns) : value,
      ) as { done: number; steps: MarkStep[]; keys: [string, string][] };
      this.#steps = steps;
      this.#keys = new Map(keys);
      this.#done = 0;
      while (this.#done < done) this.redo();
      return true;
    } catch {
      return false;
    }
  }

  #do(step: MarkStep): void {
    this.#steps = [...this.#steps.slice(0, this.#done), step];
    this.#done++;
    this.marks.swap(step.before, step.after);
  }
}

function keysOf({ before, after }: MarkStep): string[] {
  return [...before, ...after].map(({ key }) => key);
}

function isNs(value: unknown): value is { ns: string } {
  return typeof value === 'object' && value !== null && 'ns' in value && typeof value.ns === 'string';
}

function isSame(a: LaneMark, b: LaneMark): boolean {
  return a.startNs === b.startNs && a.endNs === b.endNs && bodyText(a) === bodyText(b);
}

function bodyText({ label, layer, channels, author, payload }: LaneMark): string {
  return JSON.stringify([label, layer, channels, author, payload]);
}

function markOf(key: string, seriesId: string, item: ListedMark): LaneMark {
  const { layer, ...payload } = item.payload;
  const isLayer = typeof layer === 'string' && layer !== '';
  return {
    key,
    seriesId,
    startNs: BigInt(item.start),
    endNs: BigInt(item.end),
    label: item.label,
    layer: isLayer ? layer : DEFAULT_LAYER,
    channels: item.channels ?? null,
    author: item.author ?? null,
    payload: isLayer ? payload : item.payload,
  };
}

/** A mark as the service takes it. */
export function bodyOfMark({ startNs, endNs, label, layer, channels, author, payload }: LaneMark): Record<string, unknown> {
  return {
    start: String(startNs),
    ...(endNs > startNs && { end: String(endNs) }),
    label,
    payload: layer === DEFAULT_LAYER ? payload : { ...payload, layer },
    ...(channels && { channels }),
    ...(author !== null && { author }),
  };
}
