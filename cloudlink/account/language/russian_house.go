package language

import "fmt"

func russianHouse() House {
	devices := func(n int) string {
		return russianMany(n, "устройство", "устройства", "устройств")
	}
	return House{
		Title: "Ваш дом", Skip: "К содержанию", Nav: "Страницы", House: "Дом", History: "История",
		Account: "Учётная запись", SignIn: "Вход", SignOut: "Выйти",
		Footer: "rekeyd держит устройства этого дома на новейшем пароле вашей учётной записи.",

		AllKept: func(n int) string {
			return "На новейшем пароле: " + devices(n) + ". Делать больше ничего не нужно."
		},
		NoneKept: func(n int) string {
			return "Найдено: " + devices(n) + ". Пока ни одно не привязано."
		},
		Kept: func(n int) string { return "На новейшем пароле: " + devices(n) + "." },
		Moved: func(n int) string {
			return "Пароль изменён. Новый пароль получают: " + devices(n) + "."
		},
		SomeNeed: func(kept, need int) string {
			return fmt.Sprintf("На новейшем пароле: %d. Ждут вас: %d.", kept, need)
		},
		MovedSoFar: func(kept, need, all int) string {
			if need == 0 {
				return fmt.Sprintf("Готово %d из %d.", kept, all)
			}
			return fmt.Sprintf("Готово %d из %d, ждут вас: %d.", kept, all, need)
		},
		More: func(n int) string {
			return "Подтвердили ваш пароль и могут быть привязаны: ещё " + devices(n) + "."
		},
		NothingFound: "Устройств пока не найдено. rekeyd продолжает искать.",
		NeedYou:      "Ждут вас", KeptGroup: "Привязаны", Others: "Другие",
		Search: "Найти устройство", Find: "Найти", NoMatch: "Устройств с таким именем или адресом нет.",
		Password: func(n int) string { return fmt.Sprintf("пароль номер %d", n) },
		LastSeen: "В этом состоянии с", Protocol: "Протокол", Address: "Адрес", Model: "Модель", State: "Состояние",
		WhatToDo: "Что делать", Holds: "Хранит",
		BindAll: "Привязать все", Bind: "Держать на новейшем пароле", Unbind: "Не трогать это устройство",
		Rekey: "Попробовать сейчас", RekeyAll: "Попробовать все сейчас", Allow: "Разрешить",
		Forbid: "Отозвать разрешение",
		AllowText: "Это устройство принимает пароль почти открытым, как от своего приложения: его может прочитать каждый в " +
			"вашей сети. Разрешайте, только если доверяете всем в ней.",
		Done: "Поручение принято.", NotFound: "Такого устройства или страницы нет.",
		Unreadable: "Состояние хаба не читается. Причина в его журнале.",
		Held:       "Пароль, который оно хранит, может знать кто-то ещё, поэтому оно ждёт вашего поручения.",
		LinkDown:   "Служба учётных записей сейчас не отвечает; показано то, что было видно в последний раз.",

		Question: "У вас есть учётная запись TP-Link?",
		Vendor:   "Да, та же, что в приложениях Kasa и Tapo",
		VendorText: "rekeyd следует за ней, второй регистрировать не нужно. Запустите на этом хабе команду и введите пароль " +
			"приложения:",
		Own: "Нет", OwnText: "Тогда она есть у службы этого хаба. Запустите на этом хабе:",
		OnThisHub: "rekeyd setup задаёт те же вопросы по одному и доводит до привязанного дома.",
		Register:  "Зарегистрироваться на этом сайте",

		SignInText: "На самом хабе читать можно всем. Чтобы что-то изменить или читать с другой машины, войдите: запустите " +
			"на хабе эту команду и откройте её ссылку или введите её код здесь.",
		Code: "Код", GoOn: "Войти", WrongCode: "Этот код использован, неверен или устарел.",
		SignInFirst: "Войдите, чтобы продолжить.",
	}
}
