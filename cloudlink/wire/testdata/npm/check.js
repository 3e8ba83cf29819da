// The link protocol of ../../../PROTOCOL.md a second time, over a JOSE and an HPKE library that others wrote, to check ../vectors.json with.
// Run where the packages of package.json are installed: node --input-type=module -e "$(cat check.js)" vectors.json
import { createHash, createHmac, hkdfSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { CompactSign, compactVerify, importJWK } from 'jose'
import { CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core'
import { Chacha20Poly1305 } from '@hpke/chacha20poly1305'

const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Chacha20Poly1305() })

const bytes = (hex) => Buffer.from(hex, 'hex')
const hex = (b) => Buffer.from(b).toString('hex')
const base64 = (s) => Buffer.from(s, 'base64')
const sha256 = (b) => createHash('sha256').update(b).digest()
const hmac = (key, b) => createHmac('sha256', key).update(b).digest()
const whole = (b) => b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength)

// encode joins parts (text or bytes), each preceded by its length.
const encode = (...parts) => Buffer.concat(parts.flatMap((p) => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(Buffer.byteLength(p))
  return [length, Buffer.from(p)]
}))

const name = (role, sign) => {
  let bits = ''
  for (const b of sha256(sign)) bits += b.toString(2).padStart(8, '0')
  return role + '-' + bits.match(/.{5}/g).slice(0, 26).map((five) => 'abcdefghijklmnopqrstuvwxyz234567'[parseInt(five, 2)]).join('')
}

const jwk = (sign, seed) => importJWK({ kty: 'OKP', crv: 'Ed25519', x: sign.toString('base64url'), d: seed?.toString('base64url') }, 'EdDSA')

// open verifies a JWS for one use and returns the payload's text.
const open = async (jws, sign, typ) => {
  const { payload, protectedHeader } = await compactVerify(jws, await jwk(sign), { algorithms: ['EdDSA'] })
  same('header', Object.keys(protectedHeader).sort().join(), 'alg,typ')
  same('typ', protectedHeader.typ, typ)
  return new TextDecoder().decode(payload)
}
const sign = async (payload, typ, m) =>
  new CompactSign(new TextEncoder().encode(payload)).setProtectedHeader({ alg: 'EdDSA', typ }).sign(await jwk(m.sign, m.seed))

let checks = 0
const same = (what, got, want) => {
  checks++
  if (got !== want) throw new Error(`${what}: got ${got}, want ${want}`)
}

const v = JSON.parse(readFileSync(process.argv.at(-1)))

const members = {}
for (const m of v.members) {
  const sealing = await suite.kem.deriveKeyPair(whole(bytes(m.seal_seed)))
  same('seal', hex(await suite.kem.serializePublicKey(sealing.publicKey)), m.seal)
  same('name', name(m.role, bytes(m.sign)), m.name)
  members[m.name] = { role: m.role, sign: bytes(m.sign), seal: bytes(m.seal), seed: bytes(m.sign_seed), sealing }
}
const byRole = (role) => v.members.find((m) => m.role === role).name
const [hub, device, service] = [byRole('hub'), byRole('rk'), byRole('svc')]

for (const e of v.encodings) same(e.name, hex(encode(...e.parts.map(bytes))), e.bytes)

const hash = (notice) => hex(sha256(notice.split('.').slice(0, 2).join('.')))
let before = ''
for (const n of v.notices) {
  const payload = JSON.parse(await open(n.jws, members[service].sign, 'rekeyd-notice'))
  same('chain', hex(base64(payload.prev ?? '')), before)
  before = hash(n.jws)
  same('hash of a notice', before, n.hash)
}

const endpoint = ['join', 'notice', 'probe', 'statement', 'done']
for (const { name: what, jws } of v.messages) {
  const from = JSON.parse(base64(jws.split('.')[1])).from
  const typ = endpoint.includes(JSON.parse(base64(jws.split('.')[1])).type) ? 'rekeyd-endpoint' : 'rekeyd-message'
  const payload = await open(jws, members[from].sign, typ)
  same(what, await sign(payload, typ, members[from]), jws)
  const { body } = JSON.parse(payload)
  if (body.notice) await open(body.notice, members[service].sign, 'rekeyd-notice')
  if (body.keys) same(what, name(members[from].role, base64(body.keys.sign)), from)
}

for (const s of v.sealed) {
  const b = bytes(s.sealed)
  const to = { recipientKey: members[s.to].sealing.privateKey, info: whole(bytes(s.info)), enc: whole(b.subarray(0, 32)) }
  same(s.name, hex(await suite.open(to, whole(b.subarray(32)))), s.plain)
}
const account = v.held.account
const relay = v.messages.map((m) => JSON.parse(base64(m.jws.split('.')[1]))).find((m) => m.type === 'relay')
const infos = {
  'grant to a hub': ['rekeyd/v1/grant', account, hub, '2'],
  'grant to a device': ['rekeyd/v1/grant', account, device, '2'],
  'secrets of bind': ['rekeyd/v1/secrets', account, hub],
  'secret of enrol': ['rekeyd/v1/secrets', account, device],
  'challenge': ['rekeyd/v1/challenge', account, hub],
  'join': ['rekeyd/v1/join', hub, device],
  'relay': ['rekeyd/v1/relay', account, service, hub, relay.body.device, relay.id],
  'relayed': ['rekeyd/v1/relay', account, hub, service, relay.body.device, relay.id],
}
for (const s of v.sealed) same(s.name, hex(encode(...infos[s.name])), s.info)

for (const s of v.sign_ins) {
  const about = [s.account, s.member, s.device, s.epoch]
  const key = hkdfSync('sha256', bytes(s.epoch_secret), bytes(s.binding_secret), encode('rekeyd/v1/sign-in-key', ...about), 32)
  const prove = (role) => hex(hmac(Buffer.from(key), encode('rekeyd/v1/sign-in', role, ...about, s.request, bytes(s.member_nonce), bytes(s.service_nonce))))
  same('proof of the service', prove('service'), s.service)
  same('proof of the member', prove('member'), s.proof)
}

const k = v.key
const proofKey = hkdfSync('sha256', bytes(k.epoch_secret), bytes(k.challenge), encode('rekeyd/v1/key-proof-key', k.account, k.member, k.epoch), 32)
same('proof of a sealing key', hex(hmac(Buffer.from(proofKey), encode('rekeyd/v1/key-proof', k.account, k.member, k.epoch, bytes(k.seal), k.message))), k.proof)

const p = v.pairing
const pairing = (role, m) => hex(hmac(p.secret, encode('rekeyd/v1/pairing', role, p.pairing, p.hub, m.sign, m.seal)))
same('pairing proof of the hub', pairing('hub', members[p.hub]), p.by_hub)
same('pairing proof of the service', pairing('svc', members[p.service]), p.by_service)

const h = v.held
same('held', hex(hmac(bytes(h.secret), encode('rekeyd/v1/held', h.account, h.device, h.epoch, bytes(h.nonce)))), h.proof)

const login = JSON.parse(await open(v.login.password, members[v.login.name].sign, 'rekeyd-login'))
same('login', login.name, v.login.name)
same('login', name('hub', base64(login.sign)), v.login.name)

console.log(`${checks} checks hold`)
