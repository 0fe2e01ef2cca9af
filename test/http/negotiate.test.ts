import { describe, expect, test } from '@jest/globals';
import express from 'express';
import { formatOfBody, formatToSend } from '../../src/http/negotiate.ts';

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
  ])('Accept %s is answered with %s', (accept, format) => {
    expect(formatToSend(accepting(accept))).toBe(format);
  });

  test('nothing acceptable is refused and lists what is offered', () => {
    expect(() => formatToSend(accepting('image/png'))).toThrow(
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
  ])('%s is read as %s', (contentType, format) => {
    expect(formatOfBody(contentType)).toBe(format);
  });

  test.each([undefined, '', 'application/xml', 'json'])('%s is refused and lists what is read', (contentType) => {
    expect(() => formatOfBody(contentType)).toThrow(
      expect.objectContaining({
        code: 'unsupported-media-type',
        message: expect.stringContaining('text/csv'),
        errors: [expect.objectContaining({ field: 'Content-Type' })],
      }),
    );
  });
});
