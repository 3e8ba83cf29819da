package account

// AccountOf returns the account of a member, or one that has bound a native device which has not enrolled yet. It is
// for the broker.
func (s *Service) AccountOf(name string) (string, bool) {
	if m, err := s.st.Member(name); err == nil {
		return m.Account, true
	}
	if invited, err := s.st.AccountsOfNative(name); err == nil && len(invited) > 0 {
		return invited[0], true
	}
	return "", false
}

// Holds returns whether a hub holds a device of its account. It is for the broker.
func (s *Service) Holds(hub, device string) bool {
	m, err := s.st.Member(hub)
	if err != nil {
		return false
	}
	d, err := s.st.Device(m.Account, device)
	return err == nil && d.Holder == hub
}
