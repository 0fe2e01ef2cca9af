/** What is seen, as addresses and as one line of a shell, Python, R or MATLAB that reads it. Pure. */
import type { ViewWindow } from './view-window.ts';

/** Formats of a file of what is seen. */
export const FILE_FORMATS = ['csv', 'npy', 'hdf5'] as const;
export type FileFormat = (typeof FILE_FORMATS)[number];
/** Languages in which a line reads it. */
export const LINE_LANGUAGES = ['curl', 'Python', 'R', 'MATLAB'] as const;
export type LineLanguage = (typeof LINE_LANGUAGES)[number];

/** Channels of one series in one view. */
export interface SeenSamples {
  readonly seriesId: string;
  /** Labels; null: all of the series. */
  readonly channels: readonly string[] | null;
  readonly view: ViewWindow;
  /** Buckets instead of rows; null: rows. */
  readonly points: number | null;
}

/** The path and query of a read. An answer of buckets is no HDF5 file. */
export function readPath({ seriesId, channels, view, points }: SeenSamples, format: FileFormat): string {
  const query = new URLSearchParams({ start: String(view.startNs), end: String(view.endNs) });
  for (const label of channels ?? []) query.append('channels[]', label);
  if (points !== null) query.set('points', String(points));
  query.set('physical', 'true');
  query.set('format', format === 'hdf5' && points !== null ? 'csv' : format);
  return `/v1/series/${encodeURIComponent(seriesId)}/samples?${query.toString()}`;
}

/**
 * A line that reads what is seen. It takes the token from the variable `VARVE_TOKEN`, so that none is in a file or in an address.
 * @param origin of the service, without a slash at its end
 */
export function lineToRead(language: LineLanguage, origin: string, seen: SeenSamples): string {
  const url = `${origin}${readPath(seen, 'csv')}`;
  switch (language) {
    case 'curl':
      return `curl -H "Authorization: Bearer $VARVE_TOKEN" -o samples.csv '${url.replaceAll("'", '%27')}'`;
    case 'Python':
      return `import os, pandas; samples = pandas.read_csv("${quoted(url)}", storage_options={"Authorization": "Bearer " + os.environ["VARVE_TOKEN"]}, float_precision="round_trip")`;
    case 'R':
      return `samples <- read.csv(url("${quoted(url)}", headers = c(Authorization = paste("Bearer", Sys.getenv("VARVE_TOKEN")))), check.names = FALSE)`;
    case 'MATLAB':
      return `samples = webread("${url.replaceAll('"', '%22')}", weboptions("HeaderFields", ["Authorization" "Bearer " + getenv("VARVE_TOKEN")], "ContentType", "table", "Timeout", 600));`;
  }
}

/** Text between double quotes of Python and R. */
function quoted(text: string): string {
  return text.replaceAll('\\', '%5C').replaceAll('"', '%22');
}
