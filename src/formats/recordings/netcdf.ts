/**
 * NetCDF-4 with CF conventions: variables over a coordinate of time.
 * @see https://cfconventions.org/cf-conventions/cf-conventions.html
 */
import { unprocessableField } from '../../core/errors.ts';
import type { Channel } from '../../core/signal/series.ts';
import { datasetColumns } from './hdf5-columns.ts';
import {
  exactAttribute,
  pathName,
  attributeNumber,
  plainAttributes,
  attributeText,
  valuesIn,
  type Hdf5File,
  type Hdf5Node,
} from './hdf5-file.ts';
import { cfPacking, readSince, unitAmong } from './hdf5-conventions.ts';
import type { Hdf5Series, Hdf5Options } from './hdf5-series.ts';
import type { StampSource } from './hdf5-times.ts';

/** Attributes by which NetCDF keeps its house. */
const HOUSEKEEPING = /^(?:_Netcdf4\w+|CLASS|NAME|REFERENCE_LIST|DIMENSION_LIST|_NCProperties|_nc3_strict)$/;

export function isNetcdf({ nodes }: Hdf5File): boolean {
  return (
    nodes[0]?.attributes._NCProperties !== undefined || nodes.some(({ attributes }) => '_Netcdf4Dimid' in attributes)
  );
}

/** @throws unprocessable naming the coordinate whose times cannot be understood */
export async function readNetcdf(file: Hdf5File, options: Hdf5Options, notes: string[]): Promise<Hdf5Series[]> {
  notes.push('read as NetCDF-4');
  const root = file.at('/')!;
  const clocks = new Map<string, { node: Hdf5Node; stamps: StampSource }>();
  const bounds = new Set<string>();
  const variables = file.nodes.filter(({ kind, type }) => kind === 'dataset' && type?.kind === 'number');
  for (const node of variables) {
    const dimensions = dimensionsOf(node);
    if (dimensions.length !== 1 || attributeText(node.attributes.units) === undefined) continue;
    const stamps = stampsOf(node, notes);
    if (!stamps) continue;
    // A coordinate has the name of its dimension; another variable of times is taken where there is none.
    const isCoordinate = dimensions[0] === node.path;
    if (isCoordinate || !clocks.has(dimensions[0])) clocks.set(dimensions[0], { node, stamps });
    const boundary = attributeText(node.attributes.bounds);
    if (boundary !== undefined) bounds.add(boundary);
  }
  const isClock = (path: string): boolean => [...clocks.values()].some(({ node }) => node.path === path);
  const found: Hdf5Series[] = [];
  const left: string[] = [];
  for (const node of variables) {
    const dimensions = dimensionsOf(node);
    const axis = dimensions.findIndex((each) => clocks.has(each));
    if (isClock(node.path) || bounds.has(pathName(node.path)) || isPureDimension(node)) continue;
    const part = axis < 0 || dimensions.length > 2 ? undefined : datasetColumns(node, axis === 1 ? 1 : 0);
    if (!part) {
      left.push(`${node.path} (${node.shape.join(' × ')})`);
      continue;
    }
    if (part.rows === 0) continue;
    const { stamps } = clocks.get(dimensions[axis])!;
    const { dtype, ...packing } = cfPacking(part.dtype, node.attributes, true);
    const unit = unitAmong(node.attributes);
    const { rate } = options;
    const originNs = stamps.originNs;
    found.push({
      path: node.path.slice(1),
      source: { parts: [{ ...part, dtype }], dtype, rows: part.rows },
      axis: rate
        ? { kind: 'rate', rate, startNs: options.startNs ?? originNs, isRelative: false }
        : { kind: 'stamps', stamps },
      channels: await channelsOf(file, node, dimensions[1 - axis], part.columns),
      ...(unit !== undefined && { unit }),
      ...packing,
      description: attributeText(node.attributes.long_name) ?? null,
      provenance: {
        format: 'NetCDF-4',
        variable: node.path,
        attributes: ownAttributes(node),
        file_attributes: ownAttributes(root),
      },
      why: 'over its coordinate of time',
    });
  }
  if (left.length > 0) notes.push(`left out, not over time alone or with channels: ${shortList(left)}`);
  return found;
}

/** A name may be as long as its file likes. */
const MAX_SHOWN_CHARS = 100;

/** The first of a list, and how many more there are. */
export function shortList(items: readonly string[], shown = 10): string {
  const named = items
    .slice(0, shown)
    .map((item) => (item.length > MAX_SHOWN_CHARS ? `${item.slice(0, MAX_SHOWN_CHARS)}…` : item));
  return items.length <= shown ? named.join(', ') : `${named.join(', ')} and ${items.length - shown} more`;
}

/** Paths of the dimensions of a variable. */
function dimensionsOf({ path, attributes, shape }: Hdf5Node): string[] {
  const list = attributes.DIMENSION_LIST;
  if (Array.isArray(list)) return list.map((each: unknown) => String(Array.isArray(each) ? each[0] : each));
  return attributeText(attributes.CLASS) === 'DIMENSION_SCALE' && shape.length === 1 ? [path] : [];
}

function isPureDimension({ attributes }: Hdf5Node): boolean {
  return attributeText(attributes.CLASS) === 'DIMENSION_SCALE';
}

/** @throws unprocessable for times that no clock has */
function stampsOf(node: Hdf5Node, notes: string[]): StampSource | undefined {
  const since = readSince(attributeText(node.attributes.units)!, attributeText(node.attributes.calendar));
  const part = datasetColumns(node);
  if (!since || !part) return undefined;
  if ('problem' in since) throw unprocessableField(node.path, since.problem, 'unsupported-recording');
  if (!since.hasZone)
    notes.push(`${node.path}: ${attributeText(node.attributes.units)} names no zone and was taken as UTC, as CF says`);
  const missing = exactAttribute(node.attributes._FillValue) ?? exactAttribute(node.attributes.missing_value);
  const { unitNs, originNs } = since;
  return { part, unitNs, originNs, isRelative: false, ...(missing !== undefined && { missing }) };
}

function ownAttributes({ attributes }: Hdf5Node): Record<string, unknown> {
  return plainAttributes(Object.fromEntries(Object.entries(attributes).filter(([name]) => !HOUSEKEEPING.test(name))));
}

/** One a place along the other dimension, called by what its coordinate says. */
async function channelsOf(
  file: Hdf5File,
  { path }: Hdf5Node,
  dimension: string | undefined,
  columns: number,
): Promise<Channel[]> {
  const name = pathName(path);
  if (dimension === undefined) return [{ label: name }];
  const coordinate = file.at(dimension);
  const isSaid =
    coordinate && !(attributeText(coordinate.attributes.NAME) ?? '').startsWith('This is a netCDF dimension');
  const values =
    isSaid && coordinate.shape.length === 1 && valuesIn(coordinate) === columns
      ? await file.readValues(coordinate.path, [0], coordinate.shape)
      : [];
  return Array.from({ length: columns }, (_, at) => {
    const said = attributeText(values[at]) ?? attributeNumber(values[at]);
    return {
      label:
        said === undefined ? `${name}_${at + 1}` : typeof said === 'string' ? said : `${pathName(dimension)}=${said}`,
    };
  });
}
