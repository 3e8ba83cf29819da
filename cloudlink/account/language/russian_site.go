package language

func russianSite() Site { return Site{} }
