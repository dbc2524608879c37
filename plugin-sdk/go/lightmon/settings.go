package lightmon

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"
)

// Settings are the plugin's settings, a JSON object.
type Settings []byte

// Decode stores the settings in the struct that into points to. The `json` tag of a field names its setting. An unknown
// setting is an error, and so is a value of the wrong type. Text from the command line is converted to the type of the field:
// 250 to a number, a+b to a list of two items. A field without a setting keeps its value, so set defaults before the call.
func (s Settings) Decode(into any) error {
	var settings map[string]json.RawMessage
	if err := json.Unmarshal(s, &settings); err != nil {
		return fmt.Errorf("settings: expected a JSON object: %w", err)
	}
	fields := fieldsOf(reflect.ValueOf(into).Elem())
	keys := make([]string, 0, len(settings))
	for key := range settings {
		keys = append(keys, key)
	}
	sort.Strings(keys) // so that the same settings always give the same error
	for _, key := range keys {
		field, known := fields[key]
		if !known {
			return fmt.Errorf("unknown setting `%s`", key)
		}
		if err := decode(settings[key], field); err != nil {
			return fmt.Errorf("setting `%s`: %w", key, err)
		}
	}
	return nil
}

func fieldsOf(value reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range value.NumField() {
		name, _, _ := strings.Cut(value.Type().Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			fields[name] = value.Field(i)
		}
	}
	return fields
}

func decode(raw json.RawMessage, field reflect.Value) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		switch field.Kind() {
		case reflect.String:
		case reflect.Slice:
			if field.Type().Elem().Kind() == reflect.String {
				raw, _ = json.Marshal(strings.Split(text, "+"))
			}
		default:
			raw = json.RawMessage(text)
		}
	}
	if err := json.Unmarshal(raw, field.Addr().Interface()); err != nil {
		return fmt.Errorf("expected %s, found %s", expected(field.Kind()), raw)
	}
	return nil
}

func expected(kind reflect.Kind) string {
	switch kind {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number that fits"
	}
	return "a number"
}
