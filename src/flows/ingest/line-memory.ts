/** Remembers series that lines went to lately by the bytes of their names. A line of a known series costs neither a question nor a name. */
import type { TimeRule } from '../../core/rows/place-append.ts';

/** Where values of one field and type go. */
export interface LineTarget {
  readonly id: string;
  /** The version of the series as it is known, which the commit compares. */
  readonly knownVersion: number;
  readonly rule: TimeRule;
}

export interface LineProject {
  readonly id: string;
  readonly name: string;
}

const MAX_PROJECTS = 10_000;
/** Characters of names, and what else each takes, in all: some 64 MB. */
const MAX_REMEMBERED = 64 * 1024 * 1024;
const EACH = 200;

/** What is remembered may be out of date: see `AppendItem.knownVersion`. */
export class LineMemory {
  /** The one used last comes last. */
  readonly #targets = new Map<string, LineTarget>();
  readonly #projects = new Map<string, LineProject>();
  #size = 0;

  /** @param find asks for it where it is not known: a project never goes, nor has another name */
  async project(name: string, find: () => Promise<LineProject>): Promise<LineProject> {
    const known = this.#projects.get(name);
    if (known) return known;
    const project = await find();
    if (this.#projects.size === MAX_PROJECTS) this.#projects.clear();
    this.#projects.set(name, project);
    return project;
  }

  find(key: string): LineTarget | undefined {
    const target = this.#targets.get(key);
    if (!target) return undefined;
    this.#targets.delete(key);
    this.#targets.set(key, target);
    return target;
  }

  keep(key: string, target: LineTarget): void {
    this.forget(key);
    this.#targets.set(key, target);
    this.#size += sizeOf(key);
    for (const [oldest] of this.#targets) {
      if (this.#size <= MAX_REMEMBERED) break;
      this.forget(oldest);
    }
  }

  forget(key: string): void {
    if (this.#targets.delete(key)) this.#size -= sizeOf(key);
  }
}

function sizeOf(key: string): number {
  return key.length + EACH;
}
