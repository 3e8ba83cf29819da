package wire

import (
	"maps"
	"slices"
)

// Encode and CheckObject show tests what the package keeps to itself.
var (
	Encode      = encode
	CheckObject = checkObject
	MAC         = mac
	Derive      = derive
)

// AllTypes returns every type of the table of messages.
func AllTypes() []string { return slices.Sorted(maps.Keys(kindOf)) }

// NewBody returns an empty body of a type.
func NewBody(typ string) Body { return kindOf[typ].new() }

// SignJWS signs any header and payload.
func (id *Identity) SignJWS(header, payload string) []byte {
	raw := b64.AppendEncode(nil, []byte(header))
	raw = b64.AppendEncode(append(raw, '.'), []byte(payload))
	return b64.AppendEncode(append(raw, '.'), id.sign(raw))
}
