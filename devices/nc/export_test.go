package nc

// ReadState reads an answer to get_cloud.fcgi as Probe does.
func ReadState(raw []byte) (status int, bound bool, name string, err error) {
	a, err := parse(raw)
	if err != nil {
		return 0, false, "", err
	}
	s, err := a.cloudState()
	return s.status, s.bound, s.name, err
}
