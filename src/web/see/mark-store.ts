/** Annotations between the service, the page, and the drafts that the browser keeps. */
import { isAbort, Refusal, sentenceOf, type Api } from '../api.ts';
import { bodyOfMark, MarkBook, type ListedMark } from './mark-book.ts';
import type { LaneMark } from './mark-set.ts';

/** Annotations of a page of the list, and of one that is sent: as many as the service takes. */
const PAGE = 10_000;
/** Drafts of this page in the browser. */
const DRAFT_KEY = 'varve.draft-marks';

interface ListPage {
  readonly items: readonly ListedMark[];
  readonly next: string | null;
}

export class MarkStore {
  readonly book = new MarkBook();
  readonly #api: Api;
  readonly #key: string;
  readonly #changed: () => void;
  #isLoaded = false;

  /** Takes up the draft that a page of the same series has left. @param changed there is something new to be drawn */
  constructor(api: Api, seriesIds: readonly string[], changed: () => void) {
    this.#api = api;
    this.#key = `${DRAFT_KEY}:${[...seriesIds].sort().join(',')}`;
    this.#changed = changed;
    const draft = localStorage.getItem(this.#key);
    if (draft !== null && !this.book.restore(draft)) localStorage.removeItem(this.#key);
  }

  /** Everything of the service is here: what is not, is new. */
  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  /** Reads all annotations, page by page. @returns a sentence about what did not work; null: nothing */
  async load(seriesIds: readonly string[], signal: AbortSignal): Promise<string | null> {
    try {
      for (const id of seriesIds) {
        let path: string | null = `/v1/series/${id}/annotations?limit=${PAGE}`;
        while (path !== null) {
          const page = (await (await this.#api.raw(path, { signal })).json()) as ListPage;
          this.book.load(id, page.items);
          if (page.items.length > 0) this.#changed();
          path = page.next;
        }
      }
      this.#isLoaded = true;
      this.#changed();
      return null;
    } catch (error) {
      return isAbort(error) ? null : `Annotations could not be read. ${sentenceOf(error)}`;
    }
  }

  /** Does something to the book, and keeps what is not saved as a draft. */
  edit(change: (book: MarkBook) => void): void {
    change(this.book);
    this.#keep();
    this.#changed();
  }

  /**
   * Tells the service of everything that is not saved. What is new is stored before what it replaces is removed, so
   * that nothing is lost in between.
   * @returns a sentence about what did not work; null: all is saved
   */
  async save(): Promise<string | null> {
    const { add, remove } = this.book.unsaved();
    try {
      for (const [seriesId, marks] of bySeries(add)) {
        for (let from = 0; from < marks.length; from += PAGE)
          await this.#send(seriesId, marks.slice(from, from + PAGE));
      }
      for (const { key, seriesId, id } of remove) {
        await this.#api.raw(`/v1/series/${seriesId}/annotations/${id}`, { method: 'DELETE' }).catch(unlessGone);
        this.book.wasRemoved(key, id);
      }
      return null;
    } catch (error) {
      return `Annotations could not be saved, and stay as a draft. ${sentenceOf(error)}`;
    } finally {
      this.#keep();
      this.#changed();
    }
  }

  async #send(seriesId: string, marks: readonly LaneMark[]): Promise<void> {
    const response = await this.#api.raw(`/v1/series/${seriesId}/annotations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ items: marks.map(bodyOfMark) }),
    });
    const { ids } = (await response.json()) as { ids: string[] };
    marks.forEach((mark, i) => this.book.wasAdded(mark, ids[i]));
  }

  #keep(): void {
    const draft = this.book.draft();
    try {
      if (draft === null) localStorage.removeItem(this.#key);
      else localStorage.setItem(this.#key, draft);
    } catch {
      // The browser has no room for it: what is not saved lives as long as the page.
    }
  }
}

function bySeries(marks: readonly LaneMark[]): Map<string, LaneMark[]> {
  const found = new Map<string, LaneMark[]>();
  for (const mark of marks) found.set(mark.seriesId, [...(found.get(mark.seriesId) ?? []), mark]);
  return found;
}

/** Somebody else has removed it. */
function unlessGone(error: unknown): void {
  if (!(error instanceof Refusal) || error.status !== 404) throw error;
}
