/** What an importer needs of an open HDF5 file, whoever reads it. */
import type { Dtype } from '../../core/numbers/dtype.ts';

/** What a value of a dataset is. */
export type ValueType =
  | { readonly kind: 'number'; readonly dtype: Dtype; readonly stored: StoredNumber; readonly swapped: boolean }
  | { readonly kind: 'text' }
  | { readonly kind: 'reference' }
  | { readonly kind: 'record'; readonly size: number; readonly members: readonly RecordMember[] }
  | { readonly kind: 'list'; readonly item: ValueType; readonly shape: readonly number[] }
  | { readonly kind: 'other'; readonly what: string };

/** How a number lies in the file: as its dtype, as a half float, or as PyTables' seconds and microseconds. */
export type StoredNumber = 'plain' | 'half' | 'seconds-and-microseconds';

export interface RecordMember {
  readonly name: string;
  /** Bytes from the beginning of a record. */
  readonly offset: number;
  /** Bytes of it. */
  readonly size: number;
  readonly type: ValueType;
}

export interface Hdf5Node {
  /** From the root, beginning with a slash. */
  readonly path: string;
  readonly kind: 'group' | 'dataset';
  /** Sizes of the axes of a dataset; a single value has none. */
  readonly shape: readonly number[];
  /** Null for a group. */
  readonly type: ValueType | null;
  readonly chunks: readonly number[] | null;
  /** Texts, numbers, bigints, or arrays of them; references as paths; null for what cannot be read. */
  readonly attributes: Readonly<Record<string, unknown>>;
}

export interface Hdf5File {
  /** Parents first; each object once. */
  readonly nodes: readonly Hdf5Node[];
  /** Also by another path of the object, as a link gives it. */
  at(path: string): Hdf5Node | undefined;
  /** A block, row-major, as it lies in the file. Atoms are little-endian. */
  readBlock(path: string, from: readonly number[], count: readonly number[]): Promise<Uint8Array>;
  /** Texts, references (as paths) or records (as lists of their members). */
  readValues(path: string, from: readonly number[], count: readonly number[]): Promise<readonly unknown[]>;
}

export function pathName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}

export function childOf(group: string, name: string): string {
  return group === '/' ? `/${name}` : `${group}/${name}`;
}

const children = new WeakMap<Hdf5File, ReadonlyMap<string, readonly Hdf5Node[]>>();

/** The nodes that stand in a group. */
export function childrenOf(file: Hdf5File, group: string): readonly Hdf5Node[] {
  let known = children.get(file);
  if (!known) children.set(file, (known = byParent(file)));
  return known.get(group) ?? [];
}

function byParent({ nodes }: Hdf5File): ReadonlyMap<string, readonly Hdf5Node[]> {
  const groups = new Map<string, Hdf5Node[]>();
  for (const node of nodes) {
    if (node.path === '/') continue;
    const group = parentOf(node.path);
    const list = groups.get(group);
    if (list) list.push(node);
    else groups.set(group, [node]);
  }
  return groups;
}

/** Values of a dataset, all of it. */
export function valuesIn({ shape }: Hdf5Node): number {
  return shape.reduce((product, each) => product * each, 1);
}

/** An attribute as a text, or the only item of a list of one. */
export function attributeText(value: unknown): string | undefined {
  const item: unknown = Array.isArray(value) && value.length === 1 ? value[0] : value;
  if (item instanceof Uint8Array) return undefined;
  return typeof item === 'string' && item.trim() !== '' ? item.trim() : undefined;
}

/** An attribute as a finite number, or the only item of a list of one. */
export function attributeNumber(value: unknown): number | undefined {
  const list = ArrayBuffer.isView(value) || Array.isArray(value) ? (value as ArrayLike<unknown>) : null;
  const item = list ? (list.length === 1 ? list[0] : undefined) : value;
  const number = typeof item === 'number' ? item : typeof item === 'bigint' ? Number(item) : NaN;
  return Number.isFinite(number) ? number : undefined;
}

/** An attribute as a number that keeps all of its digits. */
export function exactAttribute(value: unknown): number | bigint | undefined {
  const list = ArrayBuffer.isView(value) || Array.isArray(value) ? (value as ArrayLike<unknown>) : null;
  const item = list ? (list.length === 1 ? list[0] : undefined) : value;
  return typeof item === 'number' || typeof item === 'bigint' ? item : undefined;
}

/** Most items and characters of one attribute in the provenance. */
const MAX_ITEMS = 256;
const MAX_CHARS = 2_000;

/** Attributes as JSON can hold them: typed arrays as lists, bigints as numbers where that is exact. Long ones are cut. */
export function plainAttributes(attributes: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(attributes).flatMap(([name, value]) => (value === null ? [] : [[name, plain(value)]])),
  );
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'string') return value.length > MAX_CHARS ? `${value.slice(0, MAX_CHARS)}…` : value;
  if (ArrayBuffer.isView(value)) return plain(Array.from(value as Float64Array));
  return Array.isArray(value) ? value.slice(0, MAX_ITEMS).map(plain) : value;
}

/** The text or number of a dataset of one value; undefined if there is none. */
export async function readScalar(file: Hdf5File, path: string): Promise<unknown> {
  const node = file.at(path);
  if (node?.kind !== 'dataset' || valuesIn(node) !== 1) return undefined;
  const [value] = await file.readValues(
    node.path,
    node.shape.map(() => 0),
    node.shape,
  );
  return value;
}

/** Texts of a dataset that has one axis. @param most of them */
export async function readTexts(file: Hdf5File, node: Hdf5Node | undefined, most: number): Promise<string[]> {
  if (node?.type?.kind !== 'text' || node.shape.length > 1 || valuesIn(node) > most) return [];
  const values = await file.readValues(
    node.path,
    node.shape.map(() => 0),
    node.shape,
  );
  return values.map((each) => String(each));
}
