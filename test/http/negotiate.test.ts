import { describe, expect, test } from '@jest/globals';
import express from 'express';
import { ANSWER_FORMATS, formatOfBody, formatToSend, partToSend } from '../../src/http/body/negotiate.ts';

function accepting(accept: string | undefined): express.Request {
  return Object.assign(Object.create(express.request), { headers: accept === undefined ? {} : { accept } });
}

describe('the format of an answer', () => {
  test.each([
    [undefined, 'json'],
    ['*/*', 'json'],
    ['application/json', 'json'],
    ['application/x-npy', 'npy'],
    ['application/octet-stream', 'octet'],
    ['text/*', 'csv'],
    ['application/json;q=0.5, text/csv', 'csv'],
    ['text/csv;q=0.2, application/x-ndjson;q=0.3', 'ndjson'],
    ['*/*;q=0.1, application/x-npy', 'npy'],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'json'],
    ['application/json;q=0, */*', 'ndjson'],
    ['application/x-hdf5', 'hdf5'],
    ['application/vnd.apache.arrow.stream, text/csv;q=0.9', 'arrow-stream'],
  ])('Accept %s is answered with %s', (accept, format) => {
    expect(formatToSend(accepting(accept), ANSWER_FORMATS)).toBe(format);
  });

  test('nothing acceptable is refused and lists what is offered', () => {
    expect(() => formatToSend(accepting('image/png'), ANSWER_FORMATS)).toThrow(
      expect.objectContaining({ code: 'not-acceptable', message: expect.stringContaining('application/x-npy') }),
    );
  });
});

describe('the format of a body', () => {
  test.each([
    ['application/json', 'json'],
    ['Application/JSON; charset=utf-8', 'json'],
    ['text/csv;header=present', 'csv'],
    ['application/x-npy', 'npy'],
    ['application/octet-stream', 'octet'],
    ['application/x-ndjson', 'ndjson'],
    ['application/vnd.apache.arrow.stream', 'arrow-stream'],
    ['application/vnd.apache.arrow.file', 'arrow'],
  ])('%s is read as %s', (contentType, format) => {
    expect(formatOfBody(contentType)).toBe(format);
  });

  test.each([undefined, '', 'application/xml', 'json', 'application/x-hdf5'])(
    '%s is refused and lists what is read',
    (contentType) => {
      expect(() => formatOfBody(contentType)).toThrow(
        expect.objectContaining({
          code: 'unsupported-media-type',
          message: expect.stringContaining('text/csv'),
          errors: [expect.objectContaining({ field: 'Content-Type' })],
        }),
      );
    },
  );
});

describe('the part of an answer', () => {
  const asking = (range?: string, ifRange?: string): express.Request =>
    Object.assign(Object.create(express.request), { headers: { range, 'if-range': ifRange } });

  test.each([
    [undefined, undefined, null],
    ['bytes=0-0', undefined, { from: 0, to: 1 }],
    ['bytes=10-', undefined, { from: 10, to: 100 }],
    ['bytes=-10', undefined, { from: 90, to: 100 }],
    ['bytes=50-1000', undefined, { from: 50, to: 100 }],
    ['bytes=100-', undefined, 'unsatisfiable'],
    ['bytes=0-9,20-29', undefined, null],
    ['bytes=9-5', undefined, null],
    ['bytes=99-99', undefined, { from: 99, to: 100 }],
    ['bytes=0-99999999999999999999', undefined, { from: 0, to: 100 }],
    ['rows=0-9', undefined, null],
    ['bytes 0-9', undefined, null],
    ['Bytes=0-9', undefined, { from: 0, to: 10 }],
    ['bytes=1x-9', undefined, null],
    ['bytes=-', undefined, null],
    ['bytes=-0', undefined, 'unsatisfiable'],
    ['bytes=-1000', undefined, { from: 0, to: 100 }],
    ['bytes=0-9', '"v1"', { from: 0, to: 10 }],
    ['bytes=0-9', '"v2"', null],
    ['bytes=0-9', 'W/"v1"', null],
    ['bytes=0-9', 'Fri, 01 May 2026 09:00:00 GMT', null],
  ])('Range %s, If-Range %s: %j', (range, ifRange, part) => {
    expect(partToSend(asking(range, ifRange), 100, '"v1"')).toEqual(part);
  });
});
