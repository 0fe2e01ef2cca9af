/** InfluxQL as text becomes statements. What is not known is refused by its name, never passed over. */
import { invalidField } from '../errors.ts';
import { parseTime, UNIT_NS } from '../time.ts';
import {
  INFLUX_FUNCTIONS,
  type WhereClause,
  type InfluxFill,
  type InfluxFunction,
  type InfluxStatement,
  type NameMatch,
  type Page,
  type Selected,
  type SelectStatement,
  type ShowStatement,
  type TagCondition,
  type TagTest,
} from './influxql-statement.ts';

/** Longest text of a query. */
export const MAX_QUERY_CHARS = 64 * 1024;
/** Most statements of a query, and branches within branches of a condition. */
export const MAX_STATEMENTS = 100;
const MAX_DEPTH = 30;

type Token =
  | { readonly kind: 'word' | 'name' | 'text' | 'regex' | 'number' | 'duration' | 'symbol'; readonly text: string }
  | { readonly kind: 'end'; readonly text: '' };

/** In the order in which they are tried; whitespace and comments are left out. */
const TOKENS: readonly (readonly [Exclude<Token['kind'], 'end'> | 'space', RegExp])[] = [
  ['space', /\s+|--[^\n]*|\/\*[\s\S]*?\*\//y],
  ['duration', /(?:\d+(?:ns|u|µ|us|ms|s|m|h|d|w))+(?![A-Za-z0-9_])/y],
  ['number', /(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/y],
  ['word', /[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*/y],
  ['name', /"(?:[^"\\\n]|\\.)*"/y],
  ['text', /'(?:[^'\\\n]|\\.)*'/y],
  ['symbol', /=~|!~|!=|<>|<=|>=|::|[=<>(),;.*+\-:/]/y],
];
const REGEX = /\/(?:[^/\\\n]|\\.)+\//y;
/** A regular expression stands only where one of these is before it: elsewhere `/` divides. */
const BEFORE_REGEX = /^(=~|!~|\.|from|by|,|key|in|\(|measurement|select)$/i;

const UNITS_NS: Readonly<Record<string, bigint>> = {
  ...UNIT_NS,
  u: UNIT_NS.us,
  µ: UNIT_NS.us,
  d: 24n * UNIT_NS.h,
  w: 7n * 24n * UNIT_NS.h,
};

/**
 * @param nowNs what `now()` means
 * @throws invalid-input naming `q`
 */
export function parseInfluxql(text: string, nowNs: bigint): InfluxStatement[] {
  if (text.length > MAX_QUERY_CHARS) throw faulty(`must have at most ${MAX_QUERY_CHARS} characters`);
  const parser = new Parser(tokensOf(text), nowNs);
  const statements: InfluxStatement[] = [];
  while (!parser.isAtEnd()) {
    if (parser.takeSymbol(';')) continue;
    if (statements.length === MAX_STATEMENTS) throw faulty(`has more than ${MAX_STATEMENTS} statements`);
    statements.push(parser.statement());
    if (!parser.isAtEnd()) parser.needSymbol(';');
  }
  if (statements.length === 0) throw faulty('has no statement');
  return statements;
}

function faulty(message: string): Error {
  return invalidField('q', message);
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < text.length;) {
    REGEX.lastIndex = at;
    const before = tokens.at(-1)?.text ?? '';
    const regex = text[at] === '/' && BEFORE_REGEX.test(before) ? REGEX.exec(text) : null;
    if (regex) {
      tokens.push({ kind: 'regex', text: regex[0].slice(1, -1).replaceAll('\\/', '/') });
      at += regex[0].length;
      continue;
    }
    const found = TOKENS.map(([kind, pattern]) => {
      pattern.lastIndex = at;
      return { kind, match: pattern.exec(text)?.[0] };
    }).find(({ match }) => match !== undefined);
    if (!found?.match) throw faulty(`cannot be read at ${JSON.stringify(text.slice(at, at + 20))}`);
    const { kind, match } = found;
    at += match.length;
    if (kind === 'space') continue;
    tokens.push({ kind, text: kind === 'name' || kind === 'text' ? unquoted(match) : match });
  }
  return tokens;
}

function unquoted(quoted: string): string {
  return quoted.slice(1, -1).replaceAll(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char));
}

class Parser {
  readonly #tokens: readonly Token[];
  readonly #nowNs: bigint;
  #at = 0;

  constructor(tokens: readonly Token[], nowNs: bigint) {
    this.#tokens = tokens;
    this.#nowNs = nowNs;
  }

  isAtEnd(): boolean {
    return this.#peek().kind === 'end';
  }

  statement(): InfluxStatement {
    if (this.#takeWord('select')) return this.#select();
    if (this.#takeWord('show')) return this.#show();
    if (this.#takeWord('create')) {
      this.#needWord('database');
      const name = this.#name();
      if (this.#takeWord('with')) while (!this.isAtEnd() && this.#peek().text !== ';') this.#next();
      return { kind: 'create-database', name };
    }
    throw faulty(`${this.#here()} begins no statement that is known: SELECT, SHOW and CREATE DATABASE are`);
  }

  #show(): InfluxStatement {
    if (this.#takeWord('databases')) return { kind: 'databases' };
    if (this.#takeWord('retention')) {
      this.#needWord('policies');
      return { kind: 'retention-policies', database: this.#takeWord('on') ? this.#name() : null };
    }
    if (this.#takeWord('measurements')) return this.#shown('measurements');
    if (this.#takeWord('series')) return this.#shown('series');
    if (this.#takeWord('field')) {
      this.#needWord('keys');
      return this.#shown('field-keys');
    }
    if (this.#takeWord('tag')) {
      if (this.#takeWord('keys')) return this.#shown('tag-keys');
      this.#needWord('values');
      return this.#shown('tag-values');
    }
    throw faulty(`SHOW ${this.#here()} is not known`);
  }

  #shown(kind: ShowStatement['kind']): ShowStatement {
    const database = this.#takeWord('on') ? this.#name() : null;
    let from: NameMatch[] = [];
    let keys: NameMatch[] = [];
    if (kind === 'measurements' && this.#takeWord('with')) {
      this.#needWord('measurement');
      from = [this.#compared()];
    }
    if (this.#takeWord('from')) from = this.#list(() => this.#measurement().match);
    if (kind === 'tag-values') {
      this.#needWord('with');
      this.#needWord('key');
      keys = this.#takeWord('in') ? this.#inBrackets(() => ({ name: this.#name() })) : [this.#compared()];
    }
    const condition = this.#takeWord('where') ? this.#condition() : { tags: null };
    this.#order();
    return { kind, database, from, keys, ...condition, ...this.#page() };
  }

  #compared(): NameMatch {
    if (this.takeSymbol('=~')) return { regex: this.#regex() };
    this.needSymbol('=');
    return { name: this.#name() };
  }

  #select(): SelectStatement {
    const columns = this.#list(() => this.#column());
    this.#needWord('from');
    if (this.#peek().text === '(') throw faulty('FROM ( … ): queries within queries are not known');
    const sources = this.#list(() => this.#measurement());
    if (this.#takeWord('into')) throw faulty('INTO is not known');
    const condition = this.#takeWord('where') ? this.#condition() : { tags: null };
    const { group, fill } = this.#groupBy();
    const isDescending = this.#order();
    const page = this.#page();
    const seriesLimit = this.#takeWord('slimit') ? this.#count() : undefined;
    const seriesOffset = this.#takeWord('soffset') ? this.#count() : 0;
    if (this.#takeWord('tz')) {
      const [zone] = this.#inBrackets(() => this.#take('text'));
      if (zone !== 'UTC') throw faulty(`tz('${zone}') is not known: buckets are counted in UTC`);
    }
    const calls = columns.filter(({ kind }) => kind === 'call').length;
    if (calls > 0 && calls < columns.length) throw faulty('has functions beside plain columns, which cannot be mixed');
    if (calls === 0 && group.everyNs !== null) throw faulty('GROUP BY time needs a function, such as mean(value)');
    const database = sources.find((source) => source.database !== null)?.database ?? null;
    return {
      kind: 'select',
      columns,
      from: sources.map(({ match }) => match),
      database,
      ...condition,
      group,
      fill,
      isDescending,
      ...page,
      seriesLimit,
      seriesOffset,
    };
  }

  #column(): Selected {
    if (this.takeSymbol('*')) {
      this.#typeHint();
      return { kind: 'all' };
    }
    const isWord = this.#peek().kind === 'word';
    const name = this.#name();
    if (isWord && this.takeSymbol('(')) return this.#call(name);
    this.#typeHint();
    if (/^[+\-/*]$/.test(this.#peek().text)) throw faulty('reckoning with columns is not known');
    return { kind: 'column', name, alias: this.#takeWord('as') ? this.#name() : name };
  }

  #call(name: string): Selected {
    const call = name.toLowerCase() as InfluxFunction;
    if (!Object.hasOwn(INFLUX_FUNCTIONS, call)) {
      throw faulty(`${name}() is not known: ${Object.keys(INFLUX_FUNCTIONS).join(', ')} are`);
    }
    const field = this.takeSymbol('*') ? null : this.#name();
    this.#typeHint();
    let argument: number | null = null;
    if (INFLUX_FUNCTIONS[call] > 0) {
      this.needSymbol(',');
      argument = Number(this.#take('number'));
      if (!(argument >= 0 && argument <= 100)) throw faulty(`${name}(): the percentile must be 0 to 100`);
    }
    this.needSymbol(')');
    if (/^[+\-/*]$/.test(this.#peek().text)) throw faulty('reckoning with columns is not known');
    return { kind: 'call', call, field, argument, alias: this.#takeWord('as') ? this.#name() : null };
  }

  /** `::field`, `::tag` and the like say what a column is, which is known. */
  #typeHint(): void {
    if (this.takeSymbol('::')) this.#name();
  }

  /** `m`, `"db"."rp"."m"`, `"db".."m"`, `"rp"."m"` */
  #measurement(): { match: NameMatch; database: string | null } {
    const parts: string[] = [];
    for (;;) {
      if (this.#peek().kind === 'regex') {
        return { match: { regex: this.#regex() }, database: parts.length > 1 ? parts[0] : null };
      }
      parts.push(this.#peek().text === '.' ? '' : this.#name());
      if (!this.takeSymbol('.')) break;
    }
    return { match: { name: parts[parts.length - 1] }, database: parts.length > 2 ? parts[0] : null };
  }

  /** Conditions on time are bounds of the whole; the rest is about tags. */
  #condition(): WhereClause {
    const times: { startNs?: bigint; endNs?: bigint } = {};
    const tags = this.#any(times, true, 0);
    return { tags, ...times };
  }

  #any(times: { startNs?: bigint; endNs?: bigint }, isTop: boolean, depth: number): TagCondition | null {
    if (depth > MAX_DEPTH) throw faulty(`has conditions within conditions, more than ${MAX_DEPTH} deep`);
    const first = this.#all(times, isTop, depth);
    if (this.#peek().kind !== 'word' || this.#peek().text.toLowerCase() !== 'or') return first;
    if (isTop && (times.startNs !== undefined || times.endNs !== undefined))
      throw faulty('time cannot be part of an OR');
    const branches = [first];
    while (this.#takeWord('or')) branches.push(this.#all(times, false, depth));
    if (branches.includes(null)) throw faulty('time cannot be part of an OR');
    return { kind: 'or', of: branches as TagCondition[] };
  }

  #all(times: { startNs?: bigint; endNs?: bigint }, isTop: boolean, depth: number): TagCondition | null {
    const parts: TagCondition[] = [];
    do {
      const part = this.#one(times, isTop, depth);
      if (part) parts.push(part);
    } while (this.#takeWord('and'));
    return parts.length === 0 ? null : parts.length === 1 ? parts[0] : { kind: 'and', of: parts };
  }

  #one(times: { startNs?: bigint; endNs?: bigint }, isTop: boolean, depth: number): TagCondition | null {
    if (this.takeSymbol('(')) {
      const inner = this.#any(times, isTop, depth + 1);
      this.needSymbol(')');
      return inner;
    }
    const isWord = this.#peek().kind === 'word';
    const key = this.#name();
    this.#typeHint();
    if (isWord && key.toLowerCase() === 'time') {
      if (!isTop) throw faulty('time cannot be part of an OR');
      this.#bound(times);
      return null;
    }
    return { kind: 'test', test: this.#test(key) };
  }

  #test(key: string): TagTest {
    const op = this.#take('symbol');
    if (op === '=~' || op === '!~') return { op, key, regex: this.#regex() };
    if (op !== '=' && op !== '!=' && op !== '<>') throw faulty(`${key} ${op}: tags are compared by = != =~ and !~`);
    const { kind } = this.#peek();
    if (kind !== 'text')
      throw faulty(
        `${key} ${op} ${this.#here()}: a tag is compared with a text in single quotes; fields cannot be compared`,
      );
    return { op: op === '=' ? '=' : '!=', key, text: this.#next().text };
  }

  #bound(times: { startNs?: bigint; endNs?: bigint }): void {
    const op = this.#take('symbol');
    const ns = this.#time();
    const later = (at: bigint): void => {
      if (times.startNs === undefined || at > times.startNs) times.startNs = at;
    };
    const earlier = (at: bigint): void => {
      if (times.endNs === undefined || at < times.endNs) times.endNs = at;
    };
    if (op === '>=' || op === '=') later(ns);
    else if (op === '>') later(ns + 1n);
    if (op === '<=' || op === '=') earlier(ns + 1n);
    else if (op === '<') earlier(ns);
    if (!['>', '>=', '<', '<=', '='].includes(op)) throw faulty(`time ${op} is not known`);
  }

  /** A text, nanoseconds, a number with a unit, or `now()`; with lengths added and taken away. */
  #time(): bigint {
    let ns = this.#instant();
    for (;;) {
      if (this.takeSymbol('+')) ns += this.#length();
      else if (this.takeSymbol('-')) ns -= this.#length();
      else return ns;
    }
  }

  #instant(): bigint {
    const { kind, text } = this.#peek();
    if (kind === 'word' && text.toLowerCase() === 'now') {
      this.#next();
      this.needSymbol('(');
      this.needSymbol(')');
      return this.#nowNs;
    }
    if (kind === 'text') {
      this.#next();
      const ns = parseTime(text.replace(' ', 'T'));
      if (ns === undefined) throw faulty(`'${text}' is no time: RFC 3339, or nanoseconds since 1970`);
      return ns;
    }
    const isNegative = this.takeSymbol('-');
    const ns = this.#length();
    return isNegative ? -ns : ns;
  }

  #length(): bigint {
    const { kind, text } = this.#next();
    if (kind === 'number' && /^\d+$/.test(text)) return BigInt(text);
    if (kind === 'duration') return lengthOf(text);
    throw faulty(`${JSON.stringify(text)} is no length of time, such as 10m`);
  }

  #groupBy(): Pick<SelectStatement, 'group' | 'fill'> {
    let everyNs: bigint | null = null;
    let allTags = false;
    const tags: NameMatch[] = [];
    let fill: InfluxFill | null = null;
    if (this.#takeWord('group')) {
      this.#needWord('by');
      this.#list(() => {
        if (this.takeSymbol('*')) allTags = true;
        else if (this.#peek().kind === 'regex') tags.push({ regex: this.#regex() });
        else {
          const isWord = this.#peek().kind === 'word';
          const name = this.#name();
          if (isWord && name.toLowerCase() === 'time' && this.takeSymbol('(')) {
            everyNs = this.#length();
            if (everyNs <= 0n) throw faulty('GROUP BY time(0): must be longer than nothing');
            if (this.takeSymbol(',') && this.#time() !== 0n)
              throw faulty('GROUP BY time(…, offset): an offset is not known');
            this.needSymbol(')');
          } else {
            this.#typeHint();
            tags.push({ name });
          }
        }
      });
    }
    if (this.#takeWord('fill')) [fill] = this.#inBrackets(() => this.#fill());
    return { group: { everyNs, tags, allTags }, fill };
  }

  #fill(): InfluxFill {
    const isNegative = this.takeSymbol('-');
    const { kind, text } = this.#next();
    if (kind === 'number') return { number: isNegative ? -Number(text) : Number(text) };
    const name = text.toLowerCase();
    if (name === 'none' || name === 'null' || name === 'previous' || name === 'linear') return name;
    throw faulty(`fill(${text}) is not known: none, null, previous, linear and numbers are`);
  }

  #order(): boolean {
    if (!this.#takeWord('order')) return false;
    this.#needWord('by');
    const name = this.#name();
    if (name.toLowerCase() !== 'time') throw faulty(`ORDER BY ${name}: rows are in order of time`);
    if (this.#takeWord('desc')) return true;
    this.#takeWord('asc');
    return false;
  }

  #page(): Page {
    const limit = this.#takeWord('limit') ? this.#count() : undefined;
    const offset = this.#takeWord('offset') ? this.#count() : 0;
    // LIMIT 0 means all.
    return { ...(limit && { limit }), offset };
  }

  #count(): number {
    const text = this.#take('number');
    if (!/^\d{1,15}$/.test(text)) throw faulty(`${text} is no whole number`);
    return Number(text);
  }

  #list<T>(each: () => T): T[] {
    const items = [each()];
    while (this.takeSymbol(',')) items.push(each());
    return items;
  }

  #inBrackets<T>(each: () => T): T[] {
    this.needSymbol('(');
    const items = this.#list(each);
    this.needSymbol(')');
    return items;
  }

  #name(): string {
    const { kind, text } = this.#peek();
    if (kind !== 'word' && kind !== 'name') throw faulty(`a name is missing before ${this.#here()}`);
    this.#next();
    return text;
  }

  #regex(): string {
    return this.#take('regex');
  }

  #take(kind: Token['kind']): string {
    if (this.#peek().kind !== kind) throw faulty(`${this.#here()} is not expected: a ${kind} is`);
    return this.#next().text;
  }

  #takeWord(word: string): boolean {
    const { kind, text } = this.#peek();
    if (kind !== 'word' || text.toLowerCase() !== word) return false;
    this.#at++;
    return true;
  }

  #needWord(word: string): void {
    if (!this.#takeWord(word)) throw faulty(`${this.#here()} is not expected: ${word.toUpperCase()} is`);
  }

  takeSymbol(symbol: string): boolean {
    const { kind, text } = this.#peek();
    if (kind !== 'symbol' || text !== symbol) return false;
    this.#at++;
    return true;
  }

  needSymbol(symbol: string): void {
    if (!this.takeSymbol(symbol)) throw faulty(`${this.#here()} is not expected: ${JSON.stringify(symbol)} is`);
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? { kind: 'end', text: '' };
  }

  #next(): Token {
    const token = this.#peek();
    this.#at++;
    return token;
  }

  #here(): string {
    const { kind, text } = this.#peek();
    return kind === 'end' ? 'the end of the query' : JSON.stringify(text);
  }
}

function lengthOf(text: string): bigint {
  let ns = 0n;
  for (const [, digits, unit] of text.matchAll(/(\d+)(ns|us|ms|u|µ|s|m|h|d|w)/g)) ns += BigInt(digits) * UNITS_NS[unit];
  return ns;
}
