/**
 * Frames and series in a HDFStore of pandas, in its fixed format and in that of tables.
 * @see https://github.com/pandas-dev/pandas/blob/v1.5.3/pandas/io/pytables.py
 */
import { commonDtype, type Dtype } from '../../core/numbers/dtype.ts';
import type { Channel } from '../../core/signal/series.ts';
import { datasetColumns, memberColumns, type ColumnPart } from './hdf5-columns.ts';
import {
  childOf,
  pathName,
  plainAttributes,
  readTexts,
  attributeText,
  valuesIn,
  type Hdf5File,
  type Hdf5Node,
} from './hdf5-file.ts';
import { TIME_UNITS_NS, type Hdf5Series, type Hdf5Options, type TimeAxisFound } from './hdf5-series.ts';
import { readPickledName, readPickledNames } from './pickled-names.ts';

const MAX_NAMES = 65_536;

export function isPandasStore({ nodes }: Hdf5File): boolean {
  return nodes.some(({ attributes }) => attributeText(attributes.pandas_type) !== undefined);
}

/** Columns of a frame that lie together. */
interface FrameBlock {
  readonly part: ColumnPart;
  readonly names: readonly string[];
  /** `datetime64`, `datetime64[us]` or a dtype. */
  readonly kind: string;
}

interface PandasFrame {
  readonly group: Hdf5Node;
  readonly index: FrameBlock | null;
  readonly blocks: readonly FrameBlock[];
  readonly left: readonly string[];
}

export async function readPandasStore(file: Hdf5File, options: Hdf5Options, notes: string[]): Promise<Hdf5Series[]> {
  notes.push('read as a HDFStore of pandas');
  const found: Hdf5Series[] = [];
  for (const group of file.nodes.filter(({ attributes }) => attributeText(attributes.pandas_type) !== undefined)) {
    const frame = file.at(childOf(group.path, 'table')) ? tableFrame(file, group) : await fixedFrame(file, group);
    if (!frame) continue;
    const path = group.path === '/' ? '' : group.path.slice(1);
    if (frame.left.length > 0) notes.push(`${group.path}: left out, no numbers: ${frame.left.join(', ')}`);
    const axis = axisOf(frame, options, notes);
    const values = frame.blocks.filter(({ part }) => part !== axis?.part);
    if (values.length === 0) continue;
    if (!axis) {
      notes.push(`left out: ${group.path}, whose index is no time; give --rate, or --epoch s, ms, us or ns`);
      continue;
    }
    const whole = commonDtype(values.map(({ part }) => part.dtype));
    const dtypes: (Dtype | undefined)[] = whole ? [whole] : [...new Set(values.map(({ part }) => part.dtype))];
    for (const dtype of dtypes) {
      const own = values.filter(({ part }) => whole !== undefined || part.dtype === dtype);
      found.push({
        path: whole ? path : [path, dtype].filter(Boolean).join('/'),
        source: { parts: own.map(({ part }) => part), dtype: dtype!, rows: own[0].part.rows },
        axis: axis.found,
        channels: inOrder(own),
        provenance: {
          format: 'pandas HDFStore',
          object: group.path,
          pandas_type: attributeText(group.attributes.pandas_type),
          attributes: plainAttributes({ pandas_version: group.attributes.pandas_version }),
        },
        why: axis.found.kind === 'rate' ? 'at the rate that was given' : 'with its index',
      });
    }
  }
  return found;
}

function inOrder(blocks: readonly FrameBlock[]): Channel[] {
  return blocks.flatMap(({ part, names }) =>
    Array.from({ length: part.columns }, (_, at) => ({ label: names[at] ?? `${pathName(part.path)}_${at + 1}` })),
  );
}

/** Records with an index, and blocks of columns or a column each. */
function tableFrame(file: Hdf5File, group: Hdf5Node): PandasFrame | null {
  const table = file.at(childOf(group.path, 'table'))!;
  if (table.type?.kind !== 'record') return null;
  const blocks: FrameBlock[] = [];
  const left: string[] = [];
  for (const { name } of table.type.members) {
    const part = memberColumns(table, name);
    const kind =
      attributeText(table.attributes[`${name}_dtype`]) ?? attributeText(table.attributes[`${name}_kind`]) ?? '';
    const names = readPickledNames(attributeText(table.attributes[`${name}_kind`]) ?? '') ?? [name];
    if (part) blocks.push({ part, names, kind });
    else left.push(name);
  }
  const isIndex = ({ names, kind }: FrameBlock, at: number): boolean =>
    at === 0 && (names[0] === 'index' || kind !== '');
  const index = table.type.members[0]?.name === 'index' && blocks[0] && isIndex(blocks[0], 0) ? blocks[0] : null;
  return { group, index, blocks: blocks.filter((each) => each !== index), left };
}

/** An index and blocks of columns, each with the names of its columns. */
async function fixedFrame(file: Hdf5File, group: Hdf5Node): Promise<PandasFrame | null> {
  const isSeries = attributeText(group.attributes.pandas_type) === 'series';
  const index = blockOf(file.at(childOf(group.path, isSeries ? 'index' : 'axis1')), ['index']);
  const left: string[] = [];
  if (isSeries) {
    const name = attributeText(group.attributes.name) ?? 'value';
    const values = blockOf(file.at(childOf(group.path, 'values')), [
      readPickledName(name) ?? (/\n|^N\.$/.test(name) ? 'value' : name),
    ]);
    return { group, index, blocks: values ? [values] : [], left: values ? [] : ['values'] };
  }
  const blocks: FrameBlock[] = [];
  for (let at = 0; ; at++) {
    const node = file.at(childOf(group.path, `block${at}_values`));
    if (!node) break;
    const items = file.at(childOf(group.path, `block${at}_items`));
    const names =
      items?.type?.kind === 'number' && valuesIn(items) <= MAX_NAMES
        ? (await file.readValues(items.path, [0], items.shape)).map(String)
        : await readTexts(file, items, MAX_NAMES);
    const block = blockOf(node, names);
    if (block) blocks.push(block);
    else left.push(names.length > 0 ? names.join(', ') : pathName(node.path));
  }
  return { group, index, blocks, left };
}

function blockOf(node: Hdf5Node | undefined, names: readonly string[]): FrameBlock | null {
  const part = node && datasetColumns(node);
  if (!part) return null;
  const kind = attributeText(node.attributes.value_type) ?? attributeText(node.attributes.kind) ?? '';
  return { part, names, kind };
}

/** Times of the index, or of the only column that has any. */
function axisOf(
  { group, index, blocks }: PandasFrame,
  { rate, startNs, epoch }: Hdf5Options,
  notes: string[],
): { readonly found: TimeAxisFound; readonly part: ColumnPart | null } | undefined {
  if (rate) {
    return { found: { kind: 'rate', rate, startNs: startNs ?? 0n, isRelative: startNs === undefined }, part: null };
  }
  const columns = blocks.filter(({ kind, part }) => countedUnit(kind) !== undefined && part.columns === 1);
  const timed = index && countedUnit(index.kind) !== undefined ? index : columns.length === 1 ? columns[0] : null;
  if (timed) {
    const unitNs = countedUnit(timed.kind)!;
    const isRelative = timed.kind.startsWith('timedelta');
    if (!isRelative && timed === index && !hasZone(group, timed))
      notes.push(`${group.path}: its times have no zone and were taken as UTC`);
    return {
      found: {
        kind: 'stamps',
        stamps: {
          part: timed.part,
          unitNs,
          originNs: isRelative ? (startNs ?? 0n) : 0n,
          isRelative: isRelative && startNs === undefined,
        },
      },
      part: timed.part,
    };
  }
  if (!index || epoch === undefined) return undefined;
  const stamps = { part: index.part, unitNs: TIME_UNITS_NS[epoch], originNs: startNs ?? 0n, isRelative: false };
  return { found: { kind: 'stamps', stamps }, part: index.part };
}

function hasZone({ attributes }: Hdf5Node, { part }: FrameBlock): boolean {
  return (
    Object.entries(attributes).some(([name, value]) => name === 'info' && /Vtz\n/.test(attributeText(value) ?? '')) ||
    part.path === ''
  );
}

/** `datetime64` alone counts ns. */
function countedUnit(kind: string): bigint | undefined {
  const match = /^(?:datetime64|timedelta64)(?:\[(s|ms|us|ns)(?:, .*)?\])?$/.exec(kind);
  return match ? TIME_UNITS_NS[(match[1] ?? 'ns') as keyof typeof TIME_UNITS_NS] : undefined;
}
