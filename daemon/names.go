package daemon

import (
	"fmt"
	"net"
	"strings"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// Named returns the IDs of the devices that names lead to. A device is named by its ID, or by its name in any letter
// case, its hardware address or its network address where it alone has that. An unknown name is home.ErrNotFound. So
// is a name that several devices share: the error lists their IDs.
func Named(rows []Row, names []string) ([]home.DeviceID, error) {
	var ids []home.DeviceID
	for _, name := range names {
		var found []string
		for _, r := range rows {
			if string(r.ID) == name {
				found = []string{name}
				break
			}
			if r.answersTo(name) {
				found = append(found, string(r.ID))
			}
		}
		switch len(found) {
		case 0:
			return nil, &home.Error{
				Op: "find", Device: home.DeviceID(Clean(name, maxLabel)), Err: home.ErrNotFound, Hint: likely(rows, name),
			}
		case 1:
			ids = append(ids, home.DeviceID(found[0]))
		default:
			return nil, &home.Error{
				Op: "find", Device: home.DeviceID(name), Err: fmt.Errorf("%d devices have that name, %s: %w", len(found),
					strings.Join(found, " and "), home.ErrNotFound),
				Hint: "give the ID of the device that you mean, such as " + found[0],
			}
		}
	}
	return ids, nil
}

// likely is the hint for a name that no device has.
func likely(rows []Row, name string) string {
	const all = "see which devices were found with: rekeyd devices"
	known := make([]string, len(rows))
	for i, r := range rows {
		known[i] = r.Label()
	}
	if found := home.Similar(name, known); found != "" {
		return "did you mean " + home.InCommand(found) + "? Else " + all
	}
	return all
}

// answersTo reports whether name leads to the device, perhaps beside others.
func (r Row) answersTo(name string) bool {
	mac := strings.ToLower(strings.NewReplacer(":", "", "-", "").Replace(name))
	host, _, _ := net.SplitHostPort(r.Addr)
	return name != "" && (strings.EqualFold(r.Name, name) || strings.EqualFold(r.Label(), name)) ||
		r.MAC != "" && r.MAC == mac || r.Addr != "" && (r.Addr == name || host == name)
}

// named is Named for the devices of the house.
func (r *Rekeyer) named(names []string) ([]home.DeviceID, error) {
	if len(names) == 0 {
		return nil, nil
	}
	_, rows, err := r.House()
	if err != nil {
		return nil, err
	}
	return Named(rows, names)
}
