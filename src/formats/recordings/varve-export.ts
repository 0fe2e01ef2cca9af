/** HDF5 files that this service exported: they come back as they were. */
import { DTYPES } from '../../core/numbers/dtype.ts';
import { parseRate } from '../../core/signal/rate.ts';
import type { Channel, Tags } from '../../core/signal/series.ts';
import { datasetColumns, readColumns } from './hdf5-columns.ts';
import {
  childOf,
  exactAttribute,
  attributeNumber,
  readTexts,
  attributeText,
  type Hdf5File,
  type Hdf5Node,
} from './hdf5-file.ts';
import type { Hdf5Series, TimeAxisFound } from './hdf5-series.ts';

export function isVarveExport({ nodes }: Hdf5File): boolean {
  return nodes[0]?.attributes.varve_export !== undefined;
}

export async function readVarveExport(file: Hdf5File, notes: string[]): Promise<Hdf5Series[]> {
  notes.push('read as an export of Varve');
  const found: Hdf5Series[] = [];
  for (const group of file.nodes) {
    const { attributes } = group;
    const values = file.at(childOf(group.path, 'values'));
    const part = values && datasetColumns(values);
    if (attributeText(attributes.series) === undefined || !part) continue;
    const isRelative = attributeText(attributes.time_reference) === 'relative';
    const axis = await axisOf(file, group, isRelative);
    if (!axis) continue;
    const labels = await readTexts(file, file.at(childOf(group.path, 'channel')), part.columns);
    const unit = attributeText(attributes.unit);
    const missing = exactAttribute(attributes.missing_value);
    found.push({
      path: attributeText(attributes.name) ?? group.path.slice(1),
      source: { parts: [part], dtype: part.dtype, rows: part.rows },
      axis,
      channels: channelsOf(attributeText(attributes.channels), labels, part.columns),
      ...(unit !== undefined && { unit }),
      scale: attributeNumber(attributes.scale) ?? 1,
      offset: attributeNumber(attributes.offset) ?? 0,
      missingValue: missing === undefined || (typeof missing === 'number' && Number.isNaN(missing)) ? null : missing,
      tags: (parsed(attributeText(attributes.tags)) as Tags | undefined) ?? {},
      provenance: { format: 'Varve export', series: attributeText(attributes.series), dtype: DTYPES[part.dtype].name },
      why: 'as it was exported',
    });
  }
  return found;
}

async function axisOf(
  file: Hdf5File,
  { path, attributes }: Hdf5Node,
  isRelative: boolean,
): Promise<TimeAxisFound | undefined> {
  const rate = parseRate(attributeText(attributes.rate) ?? '');
  const segments = file.at(childOf(path, 'segments'));
  const part = segments && datasetColumns(segments);
  if (rate && part?.columns === 2 && part.dtype === 'int64') {
    const flat = (await readColumns(file, part, 0, part.rows)) as BigInt64Array;
    const runs = Array.from({ length: part.rows }, (_, at) => ({
      row: Number(flat[2 * at]),
      startNs: flat[2 * at + 1],
    }));
    const from = runs[0]?.row ?? 0;
    return { kind: 'runs', rate, isRelative, runs: runs.map((run) => ({ ...run, row: run.row - from })) };
  }
  const time = file.at(childOf(path, 'time'));
  const stamps = time && datasetColumns(time);
  return stamps && { kind: 'stamps', stamps: { part: stamps, unitNs: 1n, originNs: 0n, isRelative, isKept: true } };
}

/** Channels as the file says them, if they are those of its columns. */
function channelsOf(json: string | undefined, labels: readonly string[], columns: number): Channel[] {
  const said = parsed(json);
  if (
    Array.isArray(said) &&
    said.length === columns &&
    said.every((each) => typeof (each as Channel | null)?.label === 'string')
  ) {
    return said as Channel[];
  }
  return Array.from({ length: columns }, (_, at) => ({ label: labels[at] ?? `channel_${at + 1}` }));
}

function parsed(json: string | undefined): unknown {
  try {
    return json === undefined ? undefined : JSON.parse(json);
  } catch {
    return undefined;
  }
}
