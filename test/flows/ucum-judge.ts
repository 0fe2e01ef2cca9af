/** Units as Python's fractions have them, from definitions of UCUM that are entered here by hand: a judge of ours. */

/** Prints `{dimension: [{code, num, den, shift: [num, den], rational}]}` and, for each pair, what values convert to, as the nearest float64. */
export const UCUM_JUDGE = `
import json, sys
from fractions import Fraction as F

PI = F('3.1415926535897932384626433832795028841971693993751058209749445923')
P = {'': F(1), 'T': F(10)**12, 'G': F(10)**9, 'M': F(10)**6, 'k': F(1000), 'h': F(100), 'da': F(10), 'd': F(1, 10), 'c': F(1, 100), 'm': F(1, 1000),
     'u': F(1, 10**6), 'n': F(1, 10**9), 'p': F(1, 10**12), 'f': F(1, 10**15)}
inch, lb, g0, mol = F('0.0254'), F(7000) * F('0.06479891'), F('9.80665'), F('6.02214076') * 10**23
N = F(1000)  # newton in g m/s2
lbf = lb * g0
day, cal, mmHg = F(86400), F('4.184') * N, F('133.3220') * N
gal = 231 * inch**3
groups = {}
def add(group, **units):
    groups.setdefault(group, {}).update(units)
def put(group, code, factor, shift=0, rational=True):
    groups.setdefault(group, {})[code] = (F(factor), F(shift), rational)
def prefixed(group, atom, factor, prefixes):
    for p in prefixes.split(','): put(group, p + atom, P[p] * factor)

prefixed('length', 'm', F(1), ',k,h,da,d,c,m,u,n,p,f,M')
for code, f in {'[in_i]': inch, '[ft_i]': 12 * inch, '[yd_i]': 36 * inch, '[mi_i]': 63360 * inch, '[nmi_i]': 1852, 'Ao': F(1, 10**10), '[smoot]': 67 * inch,
    '[ft_us]': F(1200, 3937), '[mil_i]': inch / 1000, '[Ch]': F(1, 3000), 'AU': F('149597870691'), 'pc': F('3.085678') * 10**16, '[pnt]': inch / 72}.items(): put('length', code, f)
prefixed('time', 's', F(1), ',k,m,u,n,p')
for code, f in {'min': 60, 'h': 3600, 'd': day, 'wk': 7 * day, 'a': F('365.25') * day, 'mo': F('365.25') * day / 12, 'a_g': F('365.2425') * day, '[S]': F(1, 10**13)}.items(): put('time', code, f)
prefixed('frequency', 'Hz', F(1), ',k,M,G,m,u')
prefixed('frequency', 'Bq', F(1), ',k,M')
for code, f in {'/s': 1, '/min': F(1, 60), '/h': F(1, 3600), '/d': 1 / day, '/wk': 1 / (7 * day), 'Ci': F(37) * 10**9, 'mCi': F(37) * 10**6, '/ms': 1000, 'min-1': F(1, 60), '{beats}/min': F(1, 60), '/(10.s)': F(1, 10), 'Bd': 1}.items(): put('frequency', code, f)
L = F(1, 1000)
prefixed('volume', 'L', L, ',k,d,c,m,u,n')
for code, f in {'m3': 1, 'cm3': F(1, 10**6), 'l': L, '[gal_us]': gal, '[pt_us]': gal / 8, '[foz_us]': gal / 128, '[tsp_us]': gal / 768, '[cin_i]': inch**3, '[gal_br]': F('4.54609') * L, 'st': 1, '[drp]': L / 20000}.items(): put('volume', code, f)
for v, fv in {'L': L, 'mL': L / 1000, 'uL': L / 10**6, 'm3': F(1), '[gal_us]': gal}.items():
    for t, ft in {'s': 1, 'min': 60, 'h': 3600, 'd': day}.items(): put('flow', v + '/' + t, fv / ft)
prefixed('mass', 'g', F(1), ',k,m,u,n,p,f')
for code, f in {'t': 10**6, '[lb_av]': lb, '[oz_av]': lb / 16, '[gr]': lb / 7000, '[oz_tr]': 480 * lb / 7000, 'u': F('1.66053906660') * F(1, 10**24), '[ston_av]': 2000 * lb, '[car_m]': F(1, 5), '[m_e]': F('9.1093837139') / 10**28}.items(): put('mass', code, f)
prefixed('pressure', 'Pa', N, ',k,h,M,m')
for code, f in {'bar': 10**5 * N, 'mbar': 100 * N, 'atm': 101325 * N, 'mm[Hg]': mmHg, 'cm[H2O]': F('98.0665') * N, '[psi]': lbf / inch**2, 'N/m2': N, 'dyn/cm2': N / 10, 'att': F('98066.5') * N, "[in_i'Hg]": F('133322.0') * N * inch}.items(): put('pressure', code, f)
prefixed('energy', 'J', N, ',k,M,m,u')
for code, f in {'cal': cal, 'kcal': 1000 * cal, '[Cal]': 1000 * cal, 'erg': N / 10**7, 'W.s': N, 'kW.h': 3600 * 1000 * N, 'eV': F('1.602176634') / 10**19 * N, 'keV': F('1.602176634') / 10**16 * N, '[Btu_IT]': F('1055.05585262') * N, '[Btu_th]': F('1054.350') * N, 'cal_IT': F('4.1868') * N}.items(): put('energy', code, f)
prefixed('power', 'W', N, ',k,M,m,u')
for code, f in {'J/s': N, '[HP]': 550 * 12 * inch * lbf, 'kcal/h': 1000 * cal / 3600, 'J/min': N / 60}.items(): put('power', code, f)
prefixed('voltage', 'V', N, ',k,M,m,u,n')
for code, f in {'J/C': N, 'W/A': N, 'Wb/s': N}.items(): put('voltage', code, f)
prefixed('resistance', 'Ohm', N, ',k,M,G,m')
put('resistance', 'V/A', N); put('resistance', 'S-1', N); put('resistance', '/S', N)
prefixed('current', 'A', F(1), ',k,m,u,n,p')
put('current', 'C/s', 1); put('current', 'Bi', 10); put('current', 'uC/min', F(1, 60 * 10**6))
for code, f in {'m/s': 1, 'km/h': F(1, 1) * 1000 / 3600, 'cm/s': F(1, 100), 'mm/min': F(1, 60000), '[kn_i]': F(1852, 3600), '[mi_i]/h': 63360 * inch / 3600, '[ft_i]/s': 12 * inch, '[c]': 299792458, 'um/ms': F(1, 1000)}.items(): put('speed', code, f)
for code, f in {'m/s2': 1, '[g]': g0, 'm[g]': g0 / 1000, 'Gal': F(1, 100), 'km/h/s': F(1000, 3600)}.items(): put('acceleration', code, f)
for code, f in {'1': 1, '%': F(1, 100), '[ppth]': F(1, 1000), '[ppm]': F(1, 10**6), '[ppb]': F(1, 10**9), '10*3': 1000, '10*-3': F(1, 1000), '10^6': 10**6, 'mol': mol, 'mmol': mol / 1000, 'umol': mol / 10**6, 'm/km': F(1, 1000), 'mg/g': F(1, 1000)}.items(): put('number', code, f)
for code, f in {'mol/L': 1000 * mol, 'mmol/L': mol, 'umol/mL': mol, 'mol/m3': mol, 'nmol/uL': mol, '/L': 1000, '10*3/uL': F(10)**12, '10*9/L': F(10)**12, '/mm3': 10**9}.items(): put('concentration', code, f)
for code, f in {'g/L': 1000, 'mg/dL': 10, 'ug/mL': 1, 'kg/m3': 1000, 'g/cm3': 10**6, 'mg%': 10, 'g%': 10**4, '[lb_av]/[cft_i]': lb / (12 * inch)**3, 'ng/uL': 1, 'mg/L': 1}.items(): put('density', code, f)
for code, f in {'kat': mol, 'U': mol / 60 / 10**6, 'mU': mol / 60 / 10**9, 'umol/min': mol / 60 / 10**6, 'mol/h': mol / 3600}.items(): put('activity', code, f)
put('temperature', 'K', 1); put('temperature', 'mK', F(1, 1000)); put('temperature', 'Cel', 1, F('273.15')); put('temperature', 'mCel', F(1, 1000), F('273.15'))
put('temperature', '[degF]', F(5, 9), F('459.67') * F(5, 9)); put('temperature', '[degR]', F(5, 9)); put('temperature', '[degRe]', F(5, 4), F('273.15'))
for code, f in {'rad': 1, 'mrad': F(1, 1000)}.items(): put('angle', code, f)
for code, f in {'deg': PI / 180, 'gon': PI / 200, "'": PI / 10800, "''": PI / 648000, 'circ': 2 * PI}.items(): put('angle', code, f, 0, False)
for code, f in {'rad/s': 1}.items(): put('turning', code, f)
for code, f in {'deg/s': PI / 180, 'circ/min': PI / 30, 'deg/ms': PI * 1000 / 180}.items(): put('turning', code, f, 0, False)
for code, f in {'T': N, 'mT': N / 1000, 'uT': N / 10**6, 'G': N / 10000, 'Wb/m2': N}.items(): put('magnetic', code, f)
for code, f in {'bit': 1, 'By': 8, 'kBy': 8000, 'KiBy': 8192, 'MiBy': 8 * 1024**2}.items(): put('number', code, f)

VALUES = [F(1), F(60), F('98.6'), F('0.1'), F('7'), F('-40'), F('1e-7'), F('12345.678')]
out = {}
for group, units in groups.items():
    out[group] = [{'code': c, 'num': str(f.numerator), 'den': str(f.denominator), 'shift': [str(s.numerator), str(s.denominator)], 'rational': r}
        for c, (f, s, r) in units.items()]
# What one quantity is in each unit of its dimension: Python rounds a fraction to the nearest float64.
same = {group: [{c: float(((v * f0 + s0) - s) / f) for c, (f, s, r) in units.items()}
    for v in VALUES for f0, s0, _ in [next(iter(units.values()))]] for group, units in groups.items()}
json.dump({'units': out, 'same': same}, sys.stdout)
`;

export interface JudgedUnits {
  readonly units: Readonly<
    Record<string, readonly { code: string; num: string; den: string; shift: [string, string]; rational: boolean }[]>
  >;
  /** By dimension, quantities that are one and the same: a value by unit. */
  readonly same: Readonly<Record<string, readonly Readonly<Record<string, number>>[]>>;
}
