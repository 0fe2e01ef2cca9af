/** An HDF5 file that others wrote, as the library reads it: its objects, and pieces of their values. Runs in the HDF5 thread. */
import { Dataset, Reference, type Datatype, type File, type Group } from 'h5wasm/node';
import { VarveError } from '../../core/errors.ts';

/** What the values of a dataset are, in the words of HDF5. */
export interface Hdf5ValueType {
  /** As the library numbers them: {@link HDF5_CLASSES}. */
  readonly class: (typeof HDF5_CLASSES)[number] | 'unknown';
  /** Bytes of a value in the file; of a text of any length, those of a pointer. */
  readonly size: number;
  readonly signed: boolean;
  readonly littleEndian: boolean;
  /** Members of a compound, in order. */
  readonly members?: readonly (Hdf5ValueType & { readonly name: string; readonly offset: number })[];
  /** Names of an enumeration. */
  readonly names?: readonly string[];
  /** Values of an array. */
  readonly item?: Hdf5ValueType;
  readonly shape?: readonly number[];
}

const HDF5_CLASSES = [
  'integer',
  'float',
  'time',
  'string',
  'bitfield',
  'opaque',
  'compound',
  'reference',
  'enum',
  'vlen',
  'array',
] as const;

export interface Hdf5Object {
  /** Absolute within the file, `/a/b`; the root is `/`. */
  readonly path: string;
  readonly kind: 'group' | 'dataset';
  /** Other paths that links give it. */
  readonly aliases: readonly string[];
  /** Sizes of the axes of a dataset; null if it has no values at all. A single value has the shape []. */
  readonly shape: readonly number[] | null;
  readonly type: Hdf5ValueType | null;
  /** Shape of the chunks of a dataset that has any. */
  readonly chunks: readonly number[] | null;
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** More objects than this are no recording; a file may link in circles, too, but each object is told once. */
const MAX_OBJECTS = 100_000;
const MAX_DEPTH = 64;
/** Links to one object that are told. */
const MAX_ALIASES = 1_000;
const MAX_ATTRIBUTES = 1_000;
/** Larger attributes are left out. */
const MAX_ATTRIBUTE_BYTES = 64 * 1024;
/** Most bytes of one piece of values. */
const MAX_READ_BYTES = 256 * 1024 * 1024;

interface RawType {
  readonly type: number;
  readonly size: number;
  readonly signed: boolean;
  readonly littleEndian: boolean;
  readonly compound_type?: {
    readonly members: readonly (RawType & { readonly name: string; readonly offset: number })[];
  };
  readonly enum_type?: { readonly members: Readonly<Record<string, number>> };
  readonly array_type?: RawType & { readonly shape: readonly number[] };
}

/** The part of h5wasm's module that is used beside its objects. */
export interface ForeignModule {
  readonly HEAPU8: Uint8Array;
  _malloc(bytes: number): number;
  _free(pointer: number): void;
  create_object_reference(file: bigint, path: string): Uint8Array;
  get_referenced_name(file: bigint, reference: Uint8Array, isObject: boolean): string;
  get_attribute_names(file: bigint, path: string): string[];
  get_attribute_metadata(file: bigint, path: string, name: string): RawType & { readonly total_size: number };
  get_dataset_data(
    file: bigint,
    path: string,
    count: bigint[] | null,
    offset: bigint[] | null,
    strides: bigint[] | null,
    pointer: bigint,
  ): number;
}

/**
 * All groups and datasets, parents first, each once: an object that is linked again is left out, and so is what lies in
 * another file. @throws limit-exceeded for more than a recording has
 */
export function listObjects(module: ForeignModule, file: File): Hdf5Object[] {
  const found: Hdf5Object[] = [];
  const seen = new Map<string, string[]>();
  const add = (item: Group | Dataset, path: string, depth: number): void => {
    const id = Buffer.from(module.create_object_reference(file.file_id, path)).toString('hex');
    const known = seen.get(id);
    if (known) {
      if (known.length < MAX_ALIASES) known.push(path);
      return;
    }
    const aliases: string[] = [];
    seen.set(id, aliases);
    if (found.length >= MAX_OBJECTS || depth > MAX_DEPTH) {
      throw new VarveError('limit-exceeded', `has more than ${MAX_OBJECTS} objects, or groups ${MAX_DEPTH} deep`);
    }
    const attributes = attributesOf(module, item);
    if (item instanceof Dataset) {
      const metadata = item.metadata as unknown as RawType & { shape: number[] | null; chunks: number[] | null };
      const { shape, chunks } = metadata;
      found.push({ path, kind: 'dataset', aliases, shape, type: typeOf(metadata), chunks, attributes });
      return;
    }
    found.push({ path, kind: 'group', aliases, shape: null, type: null, chunks: null, attributes });
    const names = item.keys();
    // Links that are names of what lies elsewhere come after what lies here, so that this is told by its own path.
    const isHere = (name: string): boolean => file.get_link(childPath(path, name)) === null;
    for (const name of [...names.filter(isHere), ...names.filter((each) => !isHere(each))]) {
      const child = item.get(name);
      if (child instanceof Dataset || isGroup(child)) add(child, childPath(path, name), depth + 1);
    }
  };
  add(file, '/', 0);
  return found;
}

function childPath(path: string, name: string): string {
  return path === '/' ? `/${name}` : `${path}/${name}`;
}

function isGroup(item: unknown): item is Group {
  return typeof item === 'object' && item !== null && 'keys' in item && 'get_link' in item;
}

function typeOf(raw: RawType): Hdf5ValueType {
  const members = raw.compound_type?.members;
  return {
    class: HDF5_CLASSES[raw.type] ?? 'unknown',
    size: raw.size,
    signed: raw.signed,
    littleEndian: raw.littleEndian,
    ...(members && { members: members.map((each) => ({ ...typeOf(each), name: each.name, offset: each.offset })) }),
    ...(raw.enum_type && { names: Object.keys(raw.enum_type.members) }),
    ...(raw.array_type && { item: typeOf(raw.array_type), shape: raw.array_type.shape }),
  };
}

function attributesOf(module: ForeignModule, item: Group | Dataset | Datatype): Record<string, unknown> {
  const all: Record<string, unknown> = {};
  for (const name of module.get_attribute_names(item.file_id, item.path).slice(0, MAX_ATTRIBUTES)) {
    try {
      const { size, total_size } = module.get_attribute_metadata(item.file_id, item.path, name);
      if (size * total_size > MAX_ATTRIBUTE_BYTES) continue;
      all[name] = withPaths(module, item.file_id, item.get_attribute(name, false));
    } catch {
      all[name] = null; // of a type that the library cannot read, such as an opaque one
    }
  }
  return all;
}

/** References become the paths of what they refer to. */
function withPaths(module: ForeignModule, file: bigint, value: unknown): unknown {
  if (value instanceof Reference) {
    return module.get_referenced_name(file, value.ref_data, value.constructor === Reference);
  }
  return Array.isArray(value) ? value.map((each) => withPaths(module, file, each)) : value;
}

/**
 * A block of a dataset as it lies in the file, but for atoms, which are little-endian. @param from first place along
 * each axis; `count` how many
 */
export function readHdf5Block(
  module: ForeignModule,
  file: File,
  path: string,
  from: readonly number[],
  count: readonly number[],
): Uint8Array {
  const { size } = datasetAt(file, path).metadata as unknown as RawType;
  const bytes = count.reduce((product, each) => product * each, size);
  if (bytes > MAX_READ_BYTES) throw new VarveError('limit-exceeded', `${path} has rows of ${bytes} bytes`);
  const pointer = module._malloc(Math.max(1, bytes));
  if (pointer === 0) throw new VarveError('limit-exceeded', `there is no memory for ${bytes} bytes of ${path}`);
  try {
    const whole = count.length === 0;
    const ones = count.map(() => 1n);
    module.get_dataset_data(
      file.file_id,
      path,
      whole ? null : count.map(BigInt),
      whole ? null : from.map(BigInt),
      whole ? null : ones,
      BigInt(pointer),
    );
    return module.HEAPU8.slice(pointer, pointer + bytes);
  } finally {
    module._free(pointer);
  }
}

/** Values as JavaScript has them: texts, records as lists of their members, references as paths. For small datasets. */
export function readValues(
  module: ForeignModule,
  file: File,
  path: string,
  from: readonly number[],
  count: readonly number[],
): unknown[] {
  const dataset = datasetAt(file, path);
  const { size } = dataset.metadata as unknown as RawType;
  const bytes = count.reduce((product, each) => product * each, size);
  if (bytes > MAX_READ_BYTES) throw new VarveError('limit-exceeded', `${path} has ${bytes} bytes to read at once`);
  const value =
    count.length === 0 ? [dataset.value] : dataset.slice(count.map((each, axis) => [from[axis], from[axis] + each]));
  const list = withPaths(module, file.file_id, value);
  return ArrayBuffer.isView(list) ? Array.from(list as Float64Array) : (list as unknown[]);
}

function datasetAt(file: File, path: string): Dataset {
  const item = file.get(path);
  if (item instanceof Dataset) return item;
  throw new VarveError('not-found', `there is no dataset ${path}`);
}
