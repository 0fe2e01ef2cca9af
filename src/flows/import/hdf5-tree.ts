/** An HDF5 file as importers want to see it, over the reader in its thread. */
import type { Dtype, SampleArray } from '../../core/numbers/dtype.ts';
import type { Hdf5Tree } from '../../formats/recordings/opensignals.ts';
import type { Hdf5Reader } from '../../storage/survey/hdf5-reader.ts';

/** Python's struct codes without the byte order, which the library evens out. Others (strings, records, half floats) are no samples. */
const DTYPES_BY_CODE: Readonly<Record<string, Dtype>> = {
  b: 'int8',
  h: 'int16',
  i: 'int32',
  q: 'int64',
  B: 'uint8',
  H: 'uint16',
  I: 'uint32',
  Q: 'uint64',
  f: 'float32',
  d: 'float64',
};

/** @throws unprocessable if the file is no HDF5 file */
export async function openHdf5Tree(reader: Hdf5Reader, path: string): Promise<Hdf5Tree> {
  const objects = await reader.list(path);
  const attributes = new Map(objects.map((object) => [object.path, object.attributes]));
  return {
    datasets: async () =>
      objects.flatMap(({ kind, path: place, shape, dtype: code }) => {
        const dtype = DTYPES_BY_CODE[code.replace(/^[<>|]/, '')];
        return kind === 'dataset' && dtype && shape.length > 0 ? [{ path: place, shape, dtype }] : [];
      }),
    attributes: async (place) => attributes.get(place) ?? {},
    read: (dataset, fromRow, toRow): Promise<SampleArray> => reader.read(path, dataset, fromRow, toRow),
  };
}
