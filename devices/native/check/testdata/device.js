// The endpoint of a device, written from cloudlink/PROTOCOL.md, over JOSE and HPKE libraries that others wrote. It belongs to no account,
// and refuses what the page has refused. It prints its address and its name.
// Run where the packages are installed: node --input-type=module -e "$(cat device.js)" device
import { createServer } from 'node:http'
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'
import { CompactSign, compactVerify, importJWK } from 'jose'
import { CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core'
import { Chacha20Poly1305 } from '@hpke/chacha20poly1305'

const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Chacha20Poly1305() })
const whole = (b) => b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength)
const bytes = (s) => Buffer.from(s, 'base64')
const letters = 'abcdefghijklmnopqrstuvwxyz234567'
const base32 = (b) => [...b].map((x) => x.toString(2).padStart(8, '0')).join('').match(/.{5}/g).slice(0, 26).map((f) => letters[parseInt(f, 2)]).join('')
const nameOf = (role, sign) => role + '-' + base32(createHash('sha256').update(sign).digest())
const encode = (...parts) => Buffer.concat(parts.flatMap((p) => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(Buffer.byteLength(p))
  return [length, Buffer.from(p)]
}))

const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const sign = Buffer.from(publicKey.export({ format: 'jwk' }).x, 'base64url')
const seal = await suite.kem.generateKeyPair()
const me = nameOf('rk', sign)
const keys = { sign: sign.toString('base64'), seal: Buffer.from(await suite.kem.serializePublicKey(seal.publicKey)).toString('base64') }

// read returns a JSON object whose members stand once, at every depth: JSON.parse alone takes the last of two.
const read = (text) => {
  const value = JSON.parse(text)
  const members = (v) => typeof v !== 'object' || v === null ? 0
    : (Array.isArray(v) ? 0 : Object.keys(v).length) + Object.values(v).reduce((n, x) => n + members(x), 0)
  const colons = text.replace(/"(?:[^"\\]|\\.)*"/g, '""').split(':').length - 1
  if (typeof value !== 'object' || value === null || Array.isArray(value) || colons !== members(value)) throw new Error('no object')
  return value
}
const decode = (part) => {
  if (!/^[A-Za-z0-9_-]+$/.test(part) || Buffer.from(part, 'base64url').toString('base64url') !== part) throw new Error('base64url')
  return Buffer.from(part, 'base64url').toString()
}
const open = (text, typ) => {
  const parts = text.split('.')
  const header = read(decode(parts[0]))
  if (parts.length !== 3 || Object.keys(header).sort().join() !== 'alg,typ' || header.alg !== 'EdDSA' || header.typ !== typ) throw new Error('header')
  if (Buffer.from(decode(parts[2]) && parts[2], 'base64url').length !== 64) throw new Error('signature')
  return read(decode(parts[1]))
}
const verify = async (text, key) => compactVerify(text, await importJWK({ kty: 'OKP', crv: 'Ed25519', x: bytes(key).toString('base64url') }, 'EdDSA'))

// join returns the code of the answer: a device of this test joins nothing.
const join = async (raw, m) => {
  try {
    if (nameOf('hub', bytes(m.body.sign)) !== m.from) return 'forged'
    await verify(raw, m.body.sign)
    const sealed = bytes(m.body.sealed)
    const info = whole(encode('rekeyd/v1/join', m.from, me))
    const plain = await suite.open({ recipientKey: seal.privateKey, info, enc: whole(sealed.subarray(0, 32)) }, whole(sealed.subarray(32)))
    const joined = read(Buffer.from(plain).toString())
    open(joined.notice, 'rekeyd-notice')
    await verify(joined.notice, joined.service.sign)
    return 'busy'
  } catch {
    return 'forged'
  }
}

const answer = async (raw) => {
  const m = open(raw, 'rekeyd-endpoint')
  if (m.to !== me || !/^[a-z0-9-]{1,64}$/.test(m.from) || !/^[a-z0-9-]{1,64}$/.test(m.id)) throw new Error('envelope')
  const out = { type: 'done', id: base32(randomBytes(17)), re: m.id, from: me, to: m.from, at: Date.now(), body: {} }
  if (m.type === 'probe') Object.assign(out, { type: 'statement', body: { keys, kind: 'plug', model: 'Page 1', name: 'from the page' } })
  else if (m.type === 'join') out.body = { code: await join(raw, m) }
  else if (m.type !== 'notice') throw new Error('type')
  return new CompactSign(Buffer.from(JSON.stringify(out))).setProtectedHeader({ alg: 'EdDSA', typ: 'rekeyd-endpoint' }).sign(privateKey)
}

const server = createServer(async (req, res) => {
  const parts = []
  let size = 0
  for await (const p of req) if ((size += p.length) <= 65536) parts.push(p)
  if (req.method !== 'POST' || req.url !== '/rekeyd/v1/endpoint') return res.writeHead(404).end()
  if (size > 65536) return res.writeHead(413).end()
  try {
    const out = await answer(Buffer.concat(parts).toString())
    res.writeHead(200, { 'Content-Type': 'application/jose' }).end(out)
  } catch {
    res.writeHead(400).end()
  }
})
server.listen(0, '127.0.0.1', () => console.log('127.0.0.1:' + server.address().port, me))
process.stdin.resume().on('end', () => process.exit())
