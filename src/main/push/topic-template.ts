/** Topics of MQTT as a template has them: `lab/{room}/{measurement}` takes each `{…}` as a tag, and `{measurement}` as what it says. */
import { VarveError } from '../../core/errors.ts';

export interface TopicTemplate {
  /** What is subscribed to. */
  readonly filter: string;
  readonly levels: readonly TopicLevel[];
}

type TopicLevel =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'tag'; readonly tag: string }
  /** `+`: one level, whatever it is. */
  | { readonly kind: 'any' }
  /** `#`, at the end: all levels that are left. */
  | { readonly kind: 'rest' };

export interface TopicParts {
  readonly measurement: string | null;
  readonly tags: readonly (readonly [key: string, value: string])[];
}

const MEASUREMENT = 'measurement';
const PLACE = /^\{(\w[\w.-]*)\}$/;

/** @throws invalid-input saying what is wrong with it */
export function parseTemplate(text: string): TopicTemplate {
  const fault = (message: string): VarveError => new VarveError('invalid-input', `--topic ${text}: ${message}`);
  if (text === '') throw fault('must not be empty');
  const parts = text.split('/');
  const levels = parts.map((part, at): TopicLevel => {
    if (part === '+') return { kind: 'any' };
    if (part === '#') {
      if (at < parts.length - 1) throw fault('# may only be its last level');
      return { kind: 'rest' };
    }
    const tag = PLACE.exec(part)?.[1];
    if (tag?.startsWith('_')) throw fault(`{${tag}} begins with an underscore: such tags are Varve's own`);
    if (tag !== undefined) return { kind: 'tag', tag };
    if (/[{}+#\0]/.test(part)) throw fault(`${part} is no level: a text, {name}, + or #`);
    return { kind: 'text', text: part };
  });
  const tags = levels.flatMap((level) => (level.kind === 'tag' ? [level.tag] : []));
  const twice = tags.find((tag, at) => tags.indexOf(tag) !== at);
  if (twice !== undefined) throw fault(`{${twice}} is there twice`);
  const filter = levels.map((level) => LEVEL_FILTERS[level.kind] ?? (level as { text: string }).text).join('/');
  return { filter, levels };
}

const LEVEL_FILTERS: Partial<Record<TopicLevel['kind'], string>> = { tag: '+', any: '+', rest: '#' };

/** @returns null: the topic is another one. A level that is empty makes no tag */
export function matchTopic({ levels }: TopicTemplate, topic: string): TopicParts | null {
  const parts = topic.split('/');
  let measurement: string | null = null;
  const tags: [string, string][] = [];
  for (const [at, level] of levels.entries()) {
    if (level.kind === 'rest') return { measurement, tags };
    const part = parts[at];
    if (part === undefined || (level.kind === 'text' && level.text !== part)) return null;
    if (level.kind !== 'tag' || part === '') continue;
    if (level.tag === MEASUREMENT) measurement = part;
    else tags.push([level.tag, part]);
  }
  return parts.length > levels.length ? null : { measurement, tags };
}
