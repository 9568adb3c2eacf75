import { describe, expect, it } from 'vitest'

import {
  explainHeader,
  readCookie,
  readCredential,
} from '../../../../src/core/request/credential.ts'

const AUTHORIZATION = 'Authorization'

/** What of a value counts, as one text; fails where nothing does. */
function identityOf(value: string, header = AUTHORIZATION): string {
  const read = readCredential(header, value)
  if (!read.ok) throw new Error(read.error)
  return JSON.stringify(read.value)
}

function refusalOf(value: string, header = AUTHORIZATION): string {
  const read = readCredential(header, value)
  if (read.ok) throw new Error(`${JSON.stringify(read.value)} should be refused`)
  return read.error
}

const digest = (nc: number, user = 'ann') =>
  `Digest username="${user}", realm="api", nonce="n", uri="/payments", qop=auth, nc=0000000${nc}, cnonce="c${nc}", response="r${nc}", opaque="o"`
const sigV4 = (n: number, id = 'AKIAEXAMPLE', scheme = 'AWS4-HMAC-SHA256') =>
  `${scheme} Credential=${id}/2026112${n}/eu-central-1/execute-api/aws4_request, SignedHeaders=host;x-amz-date, Signature=abcd${n}`
const signed = (n: number, id = 'key-1') =>
  `Signature keyId="${id}",algorithm="hs2019",created=170000000${n},headers="(request-target) (created)",signature="c2ln${n}=="`
const signatureInput = (n: number, id = 'key-1') =>
  `sig1=("@method" "@path" "x-list";sf "@query-param";name="keyid");created=170000000${n};nonce="n;keyid=\\"evil\\"${n}";keyid="${id}";alg="ed25519"`
const oauth = (n: number, key = 'consumer', token = 'token') =>
  `OAuth realm="x", oauth_consumer_key="${key}", oauth_token="${token}", oauth_signature_method="HMAC-SHA1", oauth_timestamp="170000000${n}", oauth_nonce="n${n}", oauth_version="1.0", oauth_signature="s${n}%3D"`
const edge = (n: number, client = 'akab-c', access = 'akab-a') =>
  `EG1-HMAC-SHA256 client_token=${client};access_token=${access};timestamp=2026112${n}T10:00:00+0000;nonce=n${n};signature=s${n}=`

describe('readCredential', () => {
  it.each([
    ['Bearer', 'Bearer abc.def-ghi_=='],
    ['Basic', 'Basic YW5uOnNlY3JldA=='],
    ['Token', 'Token abc'],
    ['ApiKey', 'ApiKey abc'],
    ['DPoP', 'DPoP abc'],
    ['GNAP', 'GNAP abc'],
    ['an opaque OAuth token', 'OAuth 00D!abc'],
    // Who knows the user alone must not be taken for it.
    ['Bearer with parameters in it', 'Bearer user=ann&exp=1&sig=abc'],
    ['Bearer with none that names anybody', 'Bearer tid=abc;exp=1;sig=abc'],
  ])('takes the value of %s as it is', (_, value) => {
    expect(identityOf(value)).toBe(JSON.stringify([value]))
  })

  it.each(['bearer  abc', 'BEARER abc', 'Bearer\tabc', 'bEaReR \t  abc', '  Bearer abc\t'])(
    'takes %j for Bearer abc',
    (value) => {
      expect(identityOf(value)).toBe(identityOf('Bearer abc'))
    },
  )

  it.each([
    ['the value in another case', 'Bearer ABC'],
    ['another value', 'Bearer abd'],
    ['another scheme', 'Token abc'],
    ['no scheme', 'abc'],
    ['a scheme that is not known', 'Custom abc'],
  ])('keeps %s apart from Bearer abc', (_, value) => {
    expect(identityOf(value)).not.toBe(identityOf('Bearer abc'))
  })

  it('knows a scheme that it does not know in any case', () => {
    expect(identityOf('Custom abc')).toBe(identityOf('CUSTOM  abc'))
    expect(identityOf('Custom abc')).not.toBe(identityOf('Custom Abc'))
  })

  it.each(['abc', 'a/b+c=', 'a=b=c', 'key=abc', 'two Words', 'Two Words'])(
    'takes the API key %j as it is',
    (value) => {
      expect(identityOf(value, 'X-Api-Key')).toBe(JSON.stringify([value]))
    },
  )

  it.each(['', ' ', '\t', 'Bearer', 'basic '])('finds none in %j', (value) => {
    expect(readCredential(AUTHORIZATION, value)).toEqual({ ok: true, value: null })
  })

  it.each<[string, (n: number) => string, readonly string[]]>([
    ['Digest', digest, ['ann', 'api']],
    [
      'Digest with a user in another charset',
      (n) => digest(n).replace('username="ann"', "username*=UTF-8''J%C3%A4s"),
      ["UTF-8''J%C3%A4s", 'api'],
    ],
    ['AWS4-HMAC-SHA256', sigV4, ['AKIAEXAMPLE']],
    ['AWS4-HMAC-SHA256 with no blanks', (n) => sigV4(n).replaceAll(', ', ','), ['AKIAEXAMPLE']],
    [
      'AWS4-ECDSA-P256-SHA256',
      (n) =>
        `AWS4-ECDSA-P256-SHA256 Credential=AKIAEXAMPLE/2026112${n}/s3/aws4_request, SignedHeaders=host;x-amz-date;x-amz-region-set, Signature=3045${n}`,
      ['AKIAEXAMPLE'],
    ],
    [
      'GOOG4-RSA-SHA256',
      (n) => sigV4(n, 'svc@p.iam.gserviceaccount.com', 'GOOG4-RSA-SHA256'),
      ['svc@p.iam.gserviceaccount.com'],
    ],
    [
      'TC3-HMAC-SHA256',
      (n) =>
        `TC3-HMAC-SHA256 Credential=AKIDz8/2026-11-2${n}/cvm/tc3_request, SignedHeaders=content-type;host, Signature=72e${n}`,
      ['AKIDz8'],
    ],
    [
      'ACS3-HMAC-SHA256',
      (n) => `ACS3-HMAC-SHA256 Credential=LTAI,SignedHeaders=host;x-acs-date,Signature=e5${n}`,
      ['LTAI'],
    ],
    ['AWS with its older signature', (n) => `AWS AKIAEXAMPLE:c2ln${n}=`, ['AKIAEXAMPLE']],
    ['SharedKey', (n) => `SharedKey account:c2ln${n}=`, ['account']],
    ['SharedKeyLite', (n) => `SharedKeyLite account:c2ln${n}=`, ['account']],
    [
      'a shared access signature',
      (n) => `SharedAccessSignature sr=https%3a%2f%2fx&sig=c2ln${n}%3D&se=17000${n}&skn=policy`,
      ['https%3a%2f%2fx', 'policy'],
    ],
    [
      'HMAC-SHA256 with its parameters behind &',
      (n) => `HMAC-SHA256 Credential=id-1&SignedHeaders=x-ms-date;host&Signature=c2ln${n}=`,
      ['id-1'],
    ],
    ['Signature', signed, ['key-1']],
    [
      'Hawk',
      (n) => `Hawk id="dh37", ts="170000000${n}", nonce="n${n}", ext="x", mac="bWFj${n}="`,
      ['dh37'],
    ],
    ['MAC', (n) => `MAC id="h480", nonce="27${n}:abc", mac="bWFj${n}="`, ['h480']],
    ['OAuth 1.0', oauth, ['consumer', 'token']],
    ['EdgeGrid', edge, ['akab-c', 'akab-a']],
    [
      'hmac',
      (n) =>
        `hmac username="alice", algorithm="hmac-sha256", headers="date request-line", signature="c2ln${n}="`,
      ['alice'],
    ],
    ['vapid', (n) => `vapid t=eyJ${n}.a.b, k=BA1Hxz`, ['BA1Hxz']],
    [
      'a scheme of a payment service',
      (n) =>
        `WECHATPAY2-SHA256-RSA2048 mchid="1900",nonce_str="n${n}",signature="s${n}",timestamp="17${n}",serial_no="1DD"`,
      ['1900'],
    ],
    [
      'a scheme that is not known',
      (n) => `Acme key_id="k-1", sent="now", nonce=n${n}, proof="p${n}"`,
      ['k-1'],
    ],
    ['parameters without a scheme', (n) => `keyId="k-1",ts=${n},signature="s${n}"`, ['k-1']],
    [
      'a scheme written in one piece',
      (n) => `bce-auth-v1/AKID/2026-11-2${n}T08:23:49Z/1800/host/ab${n}`,
      ['AKID'],
    ],
  ])('finds what stays in %s', (_, valueOf, expected) => {
    const identity = identityOf(valueOf(1))
    expect(identityOf(valueOf(2))).toBe(identity)
    const parts = JSON.parse(identity) as string[]
    expect(parts).toEqual(expect.arrayContaining([...expected]))
    for (const part of parts) expect(part).not.toMatch(/c2ln|2026/)
  })

  it('finds what stays in Signature-Input, and reads no component and no text for a parameter', () => {
    const identity = identityOf(signatureInput(1), 'Signature-Input')
    expect(identityOf(signatureInput(2), 'signature-input')).toBe(identity)
    expect(JSON.parse(identity)).toEqual(['signature-input', 'keyid', 'key-1'])
    expect(identityOf(signatureInput(1, 'key-2'), 'Signature-Input')).not.toBe(identity)
  })

  it.each([
    ['the user of Digest', digest(1), digest(1, 'bob')],
    ['the realm of Digest', digest(1), digest(1).replace('realm="api"', 'realm="b"')],
    ['the access key', sigV4(1), sigV4(1, 'AKIAOTHER')],
    ['the algorithm', sigV4(1), sigV4(1, 'AKIAEXAMPLE', 'GOOG4-HMAC-SHA256')],
    ['the key of a signature', signed(1), signed(1, 'key-2')],
    ['the consumer', oauth(1), oauth(1, 'other')],
    ['the token', oauth(1), oauth(1, 'consumer', 'other')],
    ['one of two tokens', edge(1), edge(1, 'akab-c', 'akab-b')],
  ])('keeps %s apart', (_, one, other) => {
    expect(identityOf(one)).not.toBe(identityOf(other))
  })

  it.each([
    ['the order', digest(1).replace('username="ann", realm="api"', 'realm="api", username="ann"')],
    ['tokens for texts', digest(1).replace('"ann"', 'ann')],
    ['blanks', digest(1).replace('username="ann", ', 'username = "ann"  ,\t')],
    ['the case of names', digest(1).replace('username', 'UserName').replace('realm', 'REALM')],
    ['the case of the scheme', digest(1).replace('Digest ', 'DIGEST\t')],
    ['escapes', digest(1).replace('"ann"', String.raw`"\a\nn"`)],
  ])('does not care about %s', (_, value) => {
    expect(identityOf(value)).toBe(identityOf(digest(2)))
  })

  it('does not let letters move from one part to the next', () => {
    const one = 'Digest username="ab", realm="c", response="x"'
    const other = 'Digest username="a", realm="bc", response="x"'
    const inside = 'Digest username="ab\\", realm=\\"c", realm="", response="x"'
    const identities = [one, other, inside].map((value) => identityOf(value))
    expect(new Set(identities).size).toBe(3)
  })

  it.each([
    ['two users', digest(1).replace('username="ann"', 'username="ann", username="bob"')],
    ['one user twice', digest(1).replace('username="ann"', 'username="ann", username="ann"')],
    ['a user in two charsets', digest(1).replace(', realm', ", username*=UTF-8''bob, realm")],
    ['two keys', signed(1).replace('keyId="key-1"', 'keyId="key-1",keyid="key-2"')],
    ['two names of one key', signed(1).replace('keyId="key-1"', 'key_id="key-1",keyId="key-2"')],
    ['two access keys', sigV4(1).replace('Signed', 'Credential=AKIAOTHER/20261121/x, Signed')],
  ])('refuses %s', (_, value) => {
    expect(refusalOf(value)).toMatch(/name two callers/)
  })

  it('refuses two signatures by two keys, and takes two by one', () => {
    const two = (a: string, b: string) => `a=("@method");keyid="${a}", b=("@path");keyid="${b}"`
    expect(refusalOf(two('k-1', 'k-2'), 'Signature-Input')).toMatch(/name two callers/)
    expect(identityOf(two('k-1', 'k-1'), 'Signature-Input')).toBe(
      identityOf('c=("@method");created=1;keyid="k-1"', 'Signature-Input'),
    )
  })

  it.each([
    ['Negotiate', 'Negotiate YII='],
    ['Negotiate', 'negotiate YII='],
    ['NTLM', 'NTLM TlRM'],
    ['Kerberos', 'Kerberos abc'],
    ['SCRAM', 'SCRAM-SHA-256 data=abc, sid=x'],
    ['HOBA', 'HOBA result="a.b.c.d"'],
    ['Mutual', 'Mutual sid="a"'],
    ['PrivateToken', 'PrivateToken token="abc"'],
    ['PoP', 'PoP eyJ.a.b'],
    ['Nostr', 'Nostr eyJpZCI6ImZl'],
    ['SAPISIDHASH', 'SAPISIDHASH 1700000000_abc'],
    ['Digest', 'Digest nonce="a", response="b"'],
    ['Digest', 'Digest username="", realm="api", response="b"'],
    ['Digest', 'Digest marked'],
    ['Hawk', 'Hawk ts="1", nonce="n", mac="m"'],
  ])('refuses %s where nothing stays, with the remedy: %j', (scheme, value) => {
    const refusal = refusalOf(value)
    expect(refusal).toContain(`the scheme ${scheme} are made anew for each request`)
    expect(refusal).toMatch(/authenticate with claim.*fromHeader.*resolver of their own/)
  })

  it.each([
    ['HMAC-SHA256 SignedHeaders=x-ms-date;host&Signature=c2ln', AUTHORIZATION],
    ['AWS4-HMAC-SHA256 SignedHeaders=host, Signature=marked', AUTHORIZATION],
    ['HMAC-SHA256 marked', AUTHORIZATION],
    ['Marked nonce="marked", signature="marked"', AUTHORIZATION],
    ['nonce=marked, signature=marked', 'X-Auth'],
    ['sig1=("@method");created=1;marked="x"', 'Signature-Input'],
    ['marked', 'Signature-Input'],
  ])('refuses %j without repeating a part of it', (value, header) => {
    const refusal = refusalOf(value, header)
    expect(refusal).toMatch(/^These credentials are made anew for each request/)
    expect(refusal).not.toMatch(/marked|c2ln|HMAC/i)
  })

  it.each([
    ['blanks', `x${' '.repeat(100_000)}y`],
    ['open quotes', `Digest ${String.raw`"\"`.repeat(40_000)}`],
    ['commas', `Digest ${','.repeat(100_000)}x`],
    ['names', `Digest ${'a'.repeat(100_000)}`],
    ['brackets', `sig=${'('.repeat(100_000)}`],
  ])('takes linear time for many %s', (_, value) => {
    const startedAt = performance.now()
    readCredential(AUTHORIZATION, value)
    readCredential('Signature-Input', value)
    expect(performance.now() - startedAt).toBeLessThan(2_000)
  })
})

describe('explainHeader', () => {
  it.each([
    { header: 'Cookie', says: /cookie\('session'\)/ },
    { header: 'cookie', says: /cookie\('session'\)/ },
    { header: 'COOKIE', says: /cookie\('session'\)/ },
    { header: 'Cookie2', says: /cookie\('session'\)/ },
    { header: 'Baggage', says: /never stays/ },
    { header: 'tracestate', says: /never stays/ },
    { header: 'Set-Cookie', says: /never stays/ },
    { header: 'Signature', says: /credential\('Signature-Input'\)/ },
    { header: 'DPoP', says: /credential\('Authorization'\)/ },
    { header: 'Date', says: /never stays/ },
    { header: 'X-Hub-Signature-256', says: /never stays/ },
    { header: 'Idempotency-Key', says: /never stays/ },
    { header: 'PayPal-Request-Id', says: /never stays/ },
    { header: 'X-Shopify-Hmac-Sha256', says: /never stays/ },
    { header: 'X-Signature-Ed25519', says: /never stays/ },
    { header: 'CB-ACCESS-SIGN', says: /never stays/ },
    { header: 'X-Nonce', says: /never stays/ },
    { header: 'X-Slack-Request-Timestamp', says: /never stays/ },
    { header: 'Content-Digest', says: /never stays/ },
  ])('objects to $header, and says what to take', ({ header, says }) => {
    expect(explainHeader(header)).toMatch(says)
  })

  it('names the function that was to read it', () => {
    expect(explainHeader('Cookie', 'fromHeader')).toMatch(/^fromHeader\('Cookie'\) would be/)
    expect(explainHeader('Date', 'fromHeader')).toMatch(/^fromHeader\('Date'\) would be/)
  })

  it.each([
    'Authorization',
    'X-Api-Key',
    'Signature-Input',
    'X-Date-Key',
    'X-Sign-Key',
    'X-Signature-Id',
  ])('takes %s', (header) => {
    expect(explainHeader(header)).toBeNull()
  })
})

describe('readCookie', () => {
  it.each([
    { field: 'session=abc', expected: 'abc' },
    { field: 'a=1; session=abc; b=2', expected: 'abc' },
    { field: 'a=1;session=a=b', expected: 'a=b' },
    { field: 'session=abc; session=abc', expected: 'abc' },
    { field: 'a=1, session=abc', expected: 'abc' },
    { field: 'session=abc; session=abd', expected: null },
    { field: 'session=abc, session=abd', expected: null },
    { field: 'session=; session=abc', expected: null },
    { field: 'session=', expected: null },
    { field: 'xsession=abc; session2=abc; SESSION=abc', expected: null },
    { field: '', expected: null },
  ])('reads $expected of $field', ({ field, expected }) => {
    expect(readCookie(field, 'session')).toBe(expected)
  })
})
