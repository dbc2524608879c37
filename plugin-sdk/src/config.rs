//! Parses a plugin's settings into the plugin's own struct. Defines no setting.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, MapAccess, Visitor,
        value::SeqDeserializer,
    },
    forward_to_deserialize_any,
};
use serde_json::{Error, Map, Value};

/// The settings of a plugin, from the command line or the configuration file.
#[derive(Clone, Debug, Default)]
pub struct Config(Map<String, Value>);

impl Config {
    /// Parses a JSON object. Empty text means no settings.
    ///
    /// # Errors
    /// If the text is not a JSON object.
    pub fn from_json(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(settings)) => Ok(Self(settings)),
            Ok(_) => Err("settings: expected a JSON object".to_owned()),
            Err(error) => Err(format!("settings: {error}")),
        }
    }

    /// Deserializes the settings into a struct. Give the struct `#[serde(deny_unknown_fields)]`, so that a misspelt setting
    /// is an error, and `#[serde(default)]` if a setting is optional.
    ///
    /// Settings from the command line are text. The text is converted to the type of the field: `"5"` to a number, `"true"`
    /// to a bool, `"a+b"` to a list of two items.
    ///
    /// # Errors
    /// If a setting is wrong or unknown. The text names the setting; return it from [`Plugin::new`](crate::Plugin::new).
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, String> {
        T::deserialize(Settings(&self.0)).map_err(|error| error.to_string())
    }

    /// Checks that there are no settings. Call it in a plugin that has none.
    ///
    /// # Errors
    /// If the user gave a setting.
    pub fn none(&self) -> Result<(), String> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(key) => Err(format!(
                "unknown setting `{key}`: the plugin has no settings"
            )),
        }
    }
}

/// Deserializes the object that holds all settings.
struct Settings<'a>(&'a Map<String, Value>);

impl<'de> Deserializer<'de> for Settings<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Entries {
            rest: self.0.iter(),
            next: None,
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Entries<'a> {
    rest: serde_json::map::Iter<'a>,
    next: Option<(&'a String, &'a Value)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.next = self.rest.next();
        self.next
            .map(|(key, _)| seed.deserialize(key.as_str().into_deserializer()))
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, value) = self
            .next
            .take()
            .expect("invariant: serde asks for the key first");
        seed.deserialize(Setting(value))
            .map_err(|error| Error::custom(format!("setting `{key}`: {error}")))
    }
}

/// Deserializes one value. Text is converted if the field has another type.
#[derive(Clone, Copy)]
struct Setting<'a>(&'a Value);

impl<'a> Setting<'a> {
    /// Converts text to a number or a bool if it is one; returns other values as they are.
    fn scalar(self) -> Value {
        match self.0 {
            Value::String(text) => match serde_json::from_str(text.trim()) {
                Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
                _ => self.0.clone(),
            },
            other => other.clone(),
        }
    }
}

impl IntoDeserializer<'_, Error> for Setting<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! scalars {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.scalar().$method(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Setting<'_> {
    type Error = Error;

    scalars! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.0.clone().deserialize_any(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            // In YAML, `mask: 0` is a number although the setting is text.
            Value::Number(number) => visitor.visit_string(number.to_string()),
            other => other.clone().deserialize_str(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let words: Vec<Value>;
        let items = match self.0 {
            Value::Array(items) => items,
            Value::String(text) => {
                let parts = text.split(['+', ',']).map(str::trim);
                words = parts
                    .filter(|part| !part.is_empty())
                    .map(Value::from)
                    .collect();
                &words
            }
            other => return other.clone().deserialize_seq(visitor),
        };
        visitor.visit_seq(SeqDeserializer::new(items.iter().map(Setting)))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.clone().deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        char bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Example {
        keys: Vec<String>,
        ports: Vec<u16>,
        mask: String,
        limit: Option<u32>,
        deep: bool,
        mode: Mode,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        #[default]
        Lax,
        VeryStrict,
    }

    fn check(json: &str, expect: Result<Example, &str>) {
        let parsed = Config::from_json(json).and_then(|config| config.parse());
        assert_eq!(parsed, expect.map_err(str::to_owned), "{json}");
    }

    #[test]
    fn text_is_converted_to_the_type_of_the_field() {
        let expect = || Example {
            keys: vec!["a".into(), "b".into()],
            ports: vec![80, 443],
            mask: "0".into(),
            limit: Some(7),
            deep: true,
            mode: Mode::VeryStrict,
        };
        check(
            r#"{"keys":"a+b","ports":"80, 443","mask":"0","limit":"7","deep":"true","mode":"very-strict"}"#,
            Ok(expect()),
        );
        check(
            r#"{"keys":["a","b"],"ports":[80,"443"],"mask":0,"limit":7,"deep":true,"mode":"very-strict"}"#,
            Ok(expect()),
        );
        check("", Ok(Example::default()));
        check(r#"{"limit":null,"keys":""}"#, Ok(Example::default()));
    }

    #[test]
    fn errors_name_the_setting() {
        check(
            r#"{"kyes":"a"}"#,
            Err(
                "unknown field `kyes`, expected one of `keys`, `ports`, `mask`, `limit`, `deep`, `mode`",
            ),
        );
        check(
            r#"{"limit":"many"}"#,
            Err("setting `limit`: invalid type: string \"many\", expected u32"),
        );
        check(
            r#"{"ports":"80+70000"}"#,
            Err("setting `ports`: invalid value: integer `70000`, expected u16"),
        );
        check(
            r#"{"mode":"loose"}"#,
            Err("setting `mode`: unknown variant `loose`, expected `lax` or `very-strict`"),
        );
        check("[]", Err("settings: expected a JSON object"));
        check(
            "{",
            Err("settings: EOF while parsing an object at line 1 column 1"),
        );
    }

    #[test]
    fn none() {
        assert_eq!(Config::from_json("{}").unwrap().none(), Ok(()));
        assert_eq!(
            Config::from_json(r#"{"x":1}"#).unwrap().none(),
            Err("unknown setting `x`: the plugin has no settings".to_owned())
        );
    }
}
