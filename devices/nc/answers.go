package nc

import (
	"encoding/json"
	"strconv"

	"github.com/rekeyd/rekeyd/devices/failure"
	"github.com/rekeyd/rekeyd/devices/nameplate"
)

// The states of a camera at its cloud: devices/PROTOCOLS.md, section 12.2.
const (
	connected = 2
	refused   = 4 // the account's password was changed, and the cloud refused the camera's sign-in
)

// number is a JSON number, or a text of digits: which of the two cameras write is not known.
type number int

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(raw []byte) error {
	if len(raw) > 1 && raw[0] == '"' {
		raw = raw[1 : len(raw)-1]
	}
	i, err := strconv.Atoi(string(raw))
	*n = number(i)
	return err
}

// answer is the answer of a camera to any request, as far as it is read.
type answer struct {
	Code     *number `json:"errorCode"`
	Token    string  `json:"token"`
	Status   *number `json:"status"`
	Bound    *number `json:"binded"`
	Username string  `json:"username"`
	Name     string  `json:"cameraname"`
	SysName  string  `json:"cameraName"`
	Model    string  `json:"model"`
	MAC      string  `json:"MacAddress"`
}

// parse reads an answer. Fields that have their names in another letter case are not taken for others: encoding/json
// compares without it, so cameraname and cameraName are read from either.
func parse(raw []byte) (answer, error) {
	var a answer
	if json.Unmarshal(raw, &a) != nil {
		return answer{}, failure.ErrProtocol
	}
	return a, nil
}

// code returns the error code; 0 where the answer has none, as an answer with data may.
func (a answer) code() int {
	if a.Code == nil {
		return 0
	}
	return int(*a.Code)
}

// cloudState is a camera's answer about its cloud.
type cloudState struct {
	status   int
	bound    bool
	username string
	name     string
}

// cloudState returns failure.ErrProtocol for an answer that is none to get_cloud.fcgi.
func (a answer) cloudState() (cloudState, error) {
	if a.code() != 0 || a.Status == nil || a.Bound == nil {
		return cloudState{}, failure.ErrProtocol
	}
	name := nameplate.Text(a.Name)
	return cloudState{status: int(*a.Status), bound: *a.Bound != 0, username: a.Username, name: name}, nil
}
