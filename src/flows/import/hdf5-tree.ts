/** An HDF5 file as importers want to see it, over the reader in its thread. */
import type { Dtype } from '../../core/numbers/dtype.ts';
import { VarveError, isVarveError, messageOf } from '../../core/errors.ts';
import type { Hdf5File, Hdf5Node, StoredNumber, ValueType } from '../../formats/recordings/hdf5-file.ts';
import type { Hdf5Object, Hdf5ValueType } from '../../storage/survey/foreign-file.ts';
import type { Hdf5Reader } from '../../storage/survey/hdf5-reader.ts';

/** @throws unprocessable, in one sentence, if HDF5 cannot read its objects */
export async function openHdf5Tree(reader: Hdf5Reader, path: string): Promise<Hdf5File> {
  const objects = await plainly('HDF5 cannot read the file', () => reader.list(path));
  const nodes = objects.map(nodeOf);
  const byPath = new Map(nodes.map((node) => [node.path, node]));
  const linked = new Map(objects.flatMap(({ path: own, aliases }) => aliases.map((alias) => [alias, own])));
  return {
    nodes,
    at: (place) => byPath.get(place) ?? byPath.get(unlinked(place, linked)),
    readBlock: (dataset, from, count) =>
      plainly(`HDF5 cannot read ${dataset} at ${from.join(', ')}`, () => reader.readBlock(path, dataset, from, count)),
    readValues: (dataset, from, count) =>
      plainly(`HDF5 cannot read ${dataset}`, () => reader.readValues(path, dataset, from, count)),
  };
}

/** The path of an object by its own groups, where one of those on the way is a link. */
function unlinked(path: string, linked: ReadonlyMap<string, string>): string {
  for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
    const target = linked.get(path.slice(0, end));
    if (target !== undefined) return `${target === '/' ? '' : target}${path.slice(end)}`;
  }
  return path;
}

async function plainly<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isVarveError(error)) throw error;
    throw new VarveError('unprocessable', `${what}: ${messageOf(error).split('\n', 1)[0]}`, {
      slug: 'unreadable-hdf5',
      cause: error,
    });
  }
}

function nodeOf({ path, kind, shape, type, chunks, attributes }: Hdf5Object): Hdf5Node {
  // A dataset without any values is like one of none.
  return {
    path,
    kind,
    shape: shape ?? (kind === 'dataset' ? [0] : []),
    type: type && meaningOf(type),
    chunks,
    attributes,
  };
}

function meaningOf(type: Hdf5ValueType): ValueType {
  const { size, signed } = type;
  switch (type.class) {
    case 'integer':
    case 'enum':
    case 'bitfield': {
      const dtype = `${signed ? '' : 'u'}int${size * 8}` as Dtype;
      return [1, 2, 4, 8].includes(size) ? number(dtype) : { kind: 'other', what: `integers of ${size} bytes` };
    }
    case 'float':
      if (size === 2) return number('float32', 'half');
      return size === 4 || size === 8
        ? number(size === 4 ? 'float32' : 'float64')
        : { kind: 'other', what: `floats of ${size} bytes` };
    case 'time':
      return size === 8 ? number('float64', 'seconds-and-microseconds') : number('int32');
    case 'string':
      return { kind: 'text' };
    case 'reference':
      return { kind: 'reference' };
    case 'compound':
      return recordOf(type);
    case 'array':
      return { kind: 'list', item: meaningOf(type.item!), shape: type.shape ?? [] };
    default:
      return { kind: 'other', what: type.class };
  }
}

function number(dtype: Dtype, stored: StoredNumber = 'plain'): ValueType {
  return { kind: 'number', dtype, stored, swapped: false };
}

/**
 * The library makes a record little-endian as a whole or not at all: it does where all of its numbers are big-endian.
 */
function recordOf({ size, members = [] }: Hdf5ValueType): ValueType {
  const atoms = members
    .map((each) => each.item ?? each)
    .filter((each) => each.class === 'integer' || each.class === 'float');
  const isMixed = atoms.some(({ littleEndian }) => littleEndian) && atoms.some(({ littleEndian }) => !littleEndian);
  return {
    kind: 'record',
    size,
    members: members.map((member) => {
      const type = meaningOf(member);
      const swapped = isMixed && !(member.item ?? member).littleEndian;
      return { name: member.name, offset: member.offset, size: member.size, type: swapped ? swap(type) : type };
    }),
  };
}

function swap(type: ValueType): ValueType {
  if (type.kind === 'number') return { ...type, swapped: true };
  return type.kind === 'list' ? { ...type, item: swap(type.item) } : type;
}
