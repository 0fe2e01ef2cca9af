/** Writes HDF5 files of every kind with the libraries that labs write them with. The folder is its argument; it prints what they hold. */
export const HDF5_SCRIPT = `
import sys, json, numpy as np, h5py, pandas as pd, tables, netCDF4, warnings
warnings.simplefilter('ignore')
d = sys.stdin.read().strip()
rng = np.random.default_rng(17)
S = h5py.string_dtype()

def nwb(name):
    f = h5py.File(f'{d}/{name}.nwb', 'w')
    f.attrs.update(nwb_version='2.6.0', neurodata_type='NWBFile', namespace='core')
    f['identifier'] = 'mouse-12'; f['session_description'] = 'a session'
    f['session_start_time'] = '2026-05-01T09:00:00.500000+02:00'
    f['timestamps_reference_time'] = '2026-05-01T09:00:00.500000+02:00'
    f['file_create_date'] = np.array(['2026-05-01T09:00:00+02:00'], dtype=S)
    for g in ['acquisition', 'stimulus/presentation', 'processing', 'analysis', 'intervals', 'general/subject']: f.create_group(g)
    f['general/subject/subject_id'] = 'm-12'; f['general/subject/species'] = 'Mus musculus'
    e = f.create_group('general/extracellular_ephys/electrodes'); e.attrs.update(neurodata_type='DynamicTable', namespace='hdmf-common', colnames=np.array(['location', 'group_name', 'imp'], dtype=S))
    e['id'] = np.array([10, 11, 12]); e['location'] = np.array(['V1', 'CA1', 'CA3'], dtype=S)
    e['group_name'] = np.array(['shank 1'] * 3, dtype=S); e['imp'] = np.array([1e6, np.nan, 2e6])
    t = f.create_group('acquisition/probe'); t.attrs.update(neurodata_type='ElectricalSeries', namespace='core', description='a probe')
    x = rng.integers(-2000, 2000, (1000, 2)).astype('<i2')
    t.create_dataset('data', data=x, chunks=(128, 1), compression='gzip')
    t['data'].attrs.update(unit='volts', conversion=1e-6, offset=0.25, resolution=-1.0, continuity='continuous')
    t['channel_conversion'] = np.array([1.5, 2.0]); t['channel_conversion'].attrs['axis'] = 1
    t['starting_time'] = 1.5; t['starting_time'].attrs.update(rate=49999.99999999999, unit='seconds')
    t['electrodes'] = np.array([2, 0]); t['electrodes'].attrs['table'] = e.ref
    t['electrodes'].attrs['neurodata_type'] = 'DynamicTableRegion'
    s = f.create_group('processing/behavior/pupil'); s.attrs.update(neurodata_type='TimeSeries', namespace='core')
    s['data'] = np.array([1., 2., 4., 8.]); s['data'].attrs.update(unit='mm', conversion=1.0)
    s['timestamps'] = np.array([0., .1, .5, .6]); s['timestamps'].attrs.update(unit='seconds', interval=1)
    u = f.create_group('processing/behavior/speed'); u.attrs.update(neurodata_type='TimeSeries', namespace='core')
    u['data'] = np.arange(4, dtype='<f4'); u['data'].attrs.update(unit='m/s', conversion=1.0); u['timestamps'] = h5py.SoftLink('/processing/behavior/pupil/timestamps')
    a = f.create_group('acquisition/notes'); a.attrs.update(neurodata_type='AnnotationSeries', namespace='core')
    a['data'] = np.array(['laser on'], dtype=S); a['timestamps'] = np.array([0.25])
    r = f.create_group('intervals/trials'); r.attrs.update(neurodata_type='TimeIntervals', namespace='core')
    r['id'] = np.arange(2); r['start_time'] = np.array([0.5, 2.]); r['stop_time'] = np.array([1.5, 3.])
    r['side'] = np.array(['left', 'right'], dtype=S); r['tags'] = np.array(['a', 'b', 'c'], dtype=S); r['tags_index'] = np.array([1, 3])
    f.close(); return x.tolist()

def snirf(name, time, unit, rows=5, date=('2026-05-01', '09:00:00Z')):
    f = h5py.File(f'{d}/{name}.snirf', 'w'); f['formatVersion'] = '1.1'
    n = f.create_group('nirs'); m = n.create_group('metaDataTags')
    for k, v in dict(SubjectID='s-1', MeasurementDate=date[0], MeasurementTime=date[1], LengthUnit='mm', TimeUnit=unit, FrequencyUnit='Hz').items(): m[k] = v
    p = n.create_group('probe'); p['wavelengths'] = np.array([690., 830.]); p['sourcePos3D'] = np.zeros((1, 3)); p['detectorPos3D'] = np.ones((2, 3))
    g = n.create_group('data1'); g['dataTimeSeries'] = np.arange(rows * 3, dtype='f8').reshape(rows, 3); g['time'] = np.array(time, dtype='f8')
    for i, (s, t, w, k) in enumerate([(1, 1, 1, None), (1, 2, 2, None), (1, 2, 1, 'HbO')]):
        l = g.create_group(f'measurementList{i + 1}')
        l['sourceIndex'] = np.int32(s); l['detectorIndex'] = np.int32(t); l['dataType'] = np.int32(99999 if k else 1); l['dataTypeIndex'] = np.int32(1)
        if k: l['dataTypeLabel'] = k; l['dataUnit'] = 'uM'
        else: l['wavelengthIndex'] = np.int32(w)
    q = n.create_group('stim1'); q['name'] = 'tap'; q['data'] = np.array([[0.5, 1.25, 2.]])
    f.close()

def mcs(name, stamps):
    f = h5py.File(f'{d}/{name}.h5', 'w'); f.attrs['McsHdf5ProtocolType'] = 'RawData'
    g = f.create_group('Data'); g.attrs['DateInTicks'] = np.int64(621355968000000000 + 1_777_626_000 * 10_000_000)
    r = g.create_group('Recording_0'); r.attrs['TimeStamp'] = np.int64(0)
    s = r.create_group('AnalogStream/Stream_0'); s.attrs['Label'] = 'Electrode Raw Data'
    x = rng.integers(-(1 << 23), 1 << 23, (2, 600)).astype('<i4'); s.create_dataset('ChannelData', data=x, chunks=(1, 100))
    s['ChannelDataTimeStamps'] = np.array(stamps, dtype='<i8')
    t = np.dtype([('ChannelID', '<i4'), ('RowIndex', '<i4'), ('GroupID', '<i4'), ('ElectrodeGroup', '<i4'), ('Label', S), ('RawDataType', S), ('Unit', S), ('Exponent', '<i4'), ('ADZero', '<i4'), ('Tick', '<i8'), ('ConversionFactor', '<i8'), ('ADCBits', '<i4'), ('HighPassFilterCutOffFrequency', S)])
    s['InfoChannel'] = np.array([(0, 1, 0, 0, 'E2', 'Int', 'V', -12, 0, 50, 59605, 24, '0.1'), (1, 0, 0, 0, 'E1', 'Int', 'V', -12, 100, 50, 59605, 24, '-1')], dtype=t)
    v = r.create_group('EventStream/Stream_0'); v['EventEntity_0'] = np.array([[1000, 5000], [200, 0]], dtype='<i8')
    v['InfoEvent'] = np.array([(0, 'Digital Event')], dtype=np.dtype([('EventID', '<i4'), ('Label', S)]))
    f.close(); return x.T.tolist()

def nc(name, times, units, calendar='standard', dtype='f8', **kw):
    n = netCDF4.Dataset(f'{d}/{name}.nc', 'w'); n.title = 'a buoy'
    n.createDimension('time', None); n.createDimension('depth', 3)
    t = n.createVariable('time', dtype, ('time',)); t.units = units; t.calendar = calendar; t.standard_name = 'time'; t[:] = times
    z = n.createVariable('depth', 'f4', ('depth',)); z.units = 'm'; z[:] = [1, 5, 10]
    w = n.createVariable('temp', 'i2', ('depth', 'time'), fill_value=-999); w.set_auto_maskandscale(False)
    w.scale_factor = 0.01; w.add_offset = 20.; w.units = 'degC'; w.long_name = 'water temperature'; w[:] = np.arange(3 * len(times)).reshape(3, -1)
    b = n.createVariable('flags', 'i1', ('time',)); b.set_auto_maskandscale(False); b._Unsigned = 'true'; b[:] = np.arange(len(times)) + 126
    n.createVariable('station', 'f4', ('depth',))[:] = 0
    n.close()

def mat(name, **arrays):
    f = h5py.File(f'{d}/{name}.mat', 'w', userblock_size=512)
    for k, v in arrays.items():
        if isinstance(v, str): f[k] = np.array([[ord(c)] for c in v], dtype='u2'); f[k].attrs['MATLAB_class'] = np.bytes_('char'); continue
        v = np.atleast_2d(v); f[k] = v.T; f[k].attrs['MATLAB_class'] = np.bytes_({'float64': 'double', 'float32': 'single'}.get(str(v.dtype), str(v.dtype)))
    f.close()
    with open(f'{d}/{name}.mat', 'r+b') as out: out.write(b'MATLAB 7.3 MAT-file, Platform: GLNXA64'.ljust(124) + b'\\x00\\x02IM')

def plain(name, write):
    with h5py.File(f'{d}/{name}.h5', 'w') as f: write(f)

def rated(f):
    x = f.create_dataset('raw/counts', data=(np.arange(40).reshape(10, 4) + 65000).astype('u2')); x.attrs.update(sampling_rate=250, unit='mV', channels=np.array(['a', 'b', 'a', 'd'], dtype=S), start_time='2026-05-01T09:00:00Z')
    f['raw/settings'] = np.arange(3.)
def turned(f):
    f['eeg'] = np.arange(24, dtype='>i4').reshape(2, 12); f['time'] = np.arange(12) / 8; f['time'].attrs['units'] = 's'
    f['half'] = np.arange(12, dtype='f2') / 4; f['flag'] = np.arange(12) % 2 == 0; f['loop'] = h5py.SoftLink('/'); f['again'] = f['eeg']
def uneven(f): f['v'] = np.arange(5.); f['timestamps'] = np.array([1.6e9, 1.6e9 + 2, 1.6e9 + 1, np.nan, 1.6e9 + 7.5])
def records(f):
    f['log'] = np.array([(2000, 1.5, 7, b'x', (1, 2)), (4000, 2.5, 8, b'y', (3, 4)), (9000, 3.5, 9, b'z', (5, 6))], dtype=[('time_ms', '<i8'), ('v', '>f4'), ('n', '<u2'), ('s', 'S1'), ('xy', '<i2', (2,))])
def group_rate(f):
    g = f.create_group('rig'); g.attrs['Fs'] = 1000.; g['a'] = np.arange(100, dtype='f4'); g['b'] = np.arange(100, dtype='i8') + 2**53; g['gain'] = np.arange(4.)
def scalar_rate(f): f['x'] = np.arange(30.); f['dt'] = 0.002
def two_clocks(f): f['x'] = np.arange(5.); f['time'] = np.arange(5.); f['t'] = np.arange(5.) * 2
def whole_time(f): f['x'] = np.arange(5.); f['time'] = np.arange(5) * 7
def wide(f): f['x'] = np.zeros((5, 100)); f['x'].attrs['rate'] = 10.
def nothing(f): f['x'] = np.zeros((5, 2)); f['names'] = np.array(['a'], dtype=S)
def nan_rate(f): f['x'] = np.zeros(5); f['x'].attrs['rate'] = np.nan
def endless(f): f.create_dataset('x', shape=(1 << 40, 1 << 20), dtype='f8', chunks=(1024, 1)); f['x'].attrs['rate'] = 10.
def names(f):
    for i in range(3000): f[f'channel-{i:04d}-with-a-long-name'] = np.zeros(2)
def eeglab(f): g = f.create_group('EEG'); g['data'] = np.arange(8.); g['times'] = np.arange(8) * 4.; g['srate'] = np.array([[250.]])
def pointed(f):
    f['x'] = np.arange(3.); f['x'].attrs['time'] = 'clock/when'; f['clock/when'] = np.array([0., 1., 5.]); f['y'] = np.arange(3.); f['y_times'] = np.array([0., 2., 3.])
    f['z'] = np.arange(3.); f['clock/time'] = np.array([0., 4., 5.]); f['clock/time'].make_scale('time'); f['z'].dims[0].attach_scale(f['clock/time'])
def long_name(f): f['x' * 50000] = np.zeros((5, 2))
def late(f): f['x'] = np.arange(3.); f['time'] = np.array([0., 1., 1e12])

out = dict(nwb=nwb('probe'))
snirf('two', [0.5, 0.1], 's'); snirf('ms', [100, 200, 300, 400, 550], 'ms', date=('unknown', 'unknown')); snirf('local', [0.5, 0.1], 's', date=('2026-05-01', '09:00:00')); snirf('bad', [0, 1, 2, 3, 4], 'fortnight')
out['mcs'] = mcs('mcs', [[500, 0, 599]]); mcs('paused', [[0, 0, 299], [60000, 300, 599]])
nc('hours', [0, 1, 2, 3], 'hours since 1900-01-01 00:00:0.0 +01:00'); nc('back', [0, 2, 1, 3], 'days since 2026-05-01', dtype='i4')
nc('old', [0, 36.5, 50], 'days since 0001-01-01', dtype='f8'); nc('y360', [0, 1, 2], 'days since 2026-05-01', calendar='360_day'); nc('months', [0, 1, 2], 'months since 2026-05-01')
n = netCDF4.Dataset(f'{d}/ancient.nc', 'w'); n.createDimension('time', 3); t = n.createVariable('time', 'f8', ('time',)); t.units = 'days since 0001-01-01'; t.calendar = 'gregorian'; t[:] = [739000, 739001, 739002.5]; n.createVariable('v', 'f4', ('time',))[:] = [1, 2, 3]; n.close()
out['ancient'] = [int(pd.Timestamp(str(x)).value) for x in netCDF4.num2date([739000, 739001, 739002.5], 'days since 0001-01-01', 'gregorian')]
mat('lab', emg=np.arange(12.).reshape(6, 2), t=np.arange(6)[:, None] / 4., note='hello', gains=np.arange(2.))
mat('fs', x=np.arange(8, dtype='i2')[None, :], fs=np.array([[2000.]]))
for name in ['rated', 'turned', 'uneven', 'records', 'group_rate', 'scalar_rate', 'two_clocks', 'whole_time', 'wide', 'nothing', 'nan_rate', 'endless', 'names', 'late', 'eeglab', 'pointed', 'long_name']: plain(name, globals()[name])
i = pd.DatetimeIndex(['2026-05-01T09:00:00.000000001', '2026-05-01T09:00:01', '2026-05-01T09:00:05'], name='when')
df = pd.DataFrame({'a': [1.5, np.nan, 3], 'b': [4., 5, 6], 'n': [2**53 + 1, 2, 3], 's': ['x', 'y', 'z']}, index=i)
df[['a', 'b', 'n']].to_hdf(f'{d}/frames.h5', 'fixed', mode='w'); df.to_hdf(f'{d}/frames.h5', 'day/table', format='table'); df['b'].to_hdf(f'{d}/frames.h5', 'one')
df[['a']].tz_localize('Europe/Berlin').to_hdf(f'{d}/frames.h5', 'zoned', format='table', data_columns=True)
df[['b']].reset_index(drop=True).to_hdf(f'{d}/frames.h5', 'counted', format='table')
class Row(tables.IsDescription):
    timestamp = tables.Time64Col(); v = tables.Float32Col(); w = tables.UInt16Col()
with tables.open_file(f'{d}/tables.h5', 'w') as h:
    t = h.create_table('/', 'log', Row)
    for k in range(4): t.row['timestamp'] = 1.6e9 + [0, 1.25, 2, 9][k]; t.row['v'] = k / 2; t.row['w'] = 65535 - k; t.row.append()
    t.flush(); t.cols.v.create_index()
open(f'{d}/old.mat', 'wb').write(b'MATLAB 5.0 MAT-file, Platform: posix, Created on: Fri May  1 09:00:00 2026'.ljust(124) + b'\\x00\\x01IM' + bytes(64))
netCDF4.Dataset(f'{d}/three.nc', 'w', format='NETCDF3_CLASSIC').close()
open(f'{d}/empty.h5', 'w').close(); open(f'{d}/text.nwb', 'w').write('time,value\\n1,2\\n'); open(f'{d}/cut.nwb', 'wb').write(open(f'{d}/probe.nwb', 'rb').read()[:-200])
print(json.dumps(out))
`;
