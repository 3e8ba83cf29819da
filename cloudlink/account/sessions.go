package account

import (
	"maps"
	"slices"
	"time"
)

// SessionInfo is a login: its tokens and refresh tokens together.
type SessionInfo struct {
	ID    string
	Door  string
	Since time.Time
	This  bool // the one that asks
}

// Sessions returns the account's sessions, the newest first.
func (o *Owner) Sessions() ([]SessionInfo, error) {
	all, err := o.s.st.Sessions(o.a.ID)
	by := map[string]SessionInfo{}
	now := o.s.Now()
	for _, v := range all {
		if old, ok := by[v.Entry]; !now.After(v.Expires) && (!ok || v.At.Before(old.Since)) {
			by[v.Entry] = SessionInfo{v.Entry, v.Door, v.At, v.Entry == o.sess.Entry}
		}
	}
	newest := func(a, b SessionInfo) int { return b.Since.Compare(a.Since) }
	return slices.SortedFunc(maps.Values(by), newest), err
}

// End ends one session, by its ID; home.ErrNotFound when there is none.
func (o *Owner) End(id string) error {
	all, err := o.s.st.Sessions(o.a.ID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(v Session) bool { return v.Entry == id })
	if i < 0 {
		return errNotHere
	}
	err = o.s.st.EndSession(o.a.ID, id, Event{At: o.s.Now(), What: "session ended", Door: all[i].Door})
	o.s.Changes.Add(o.a.ID)
	return err
}

// EndAll ends every session, this one too.
func (o *Owner) EndAll() error {
	err := o.s.st.EndSessions(o.a.ID, Event{At: o.s.Now(), What: "all sessions ended", Door: o.sess.Door})
	o.s.Changes.Add(o.a.ID)
	return err
}

// SignOut ends this session.
func (o *Owner) SignOut() error {
	err := o.s.st.EndSession(o.a.ID, o.sess.Entry, Event{})
	o.s.Changes.Add(o.a.ID)
	return err
}
