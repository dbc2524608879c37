//! Checks the tags of destinations.

use lightmon_plugin::test::{Harness, event, manifest};

use super::*;

fn check(country: Option<(&str, &str)>, destinations: &str) {
    let mut plugin = Harness::<Geoip>::new("{}").unwrap();
    let expect = country.map_or(Verdict::keep(), |(code, name)| {
        Verdict::keep()
            .tag("country", code)
            .tag("country_name", name)
    });
    for destination in destinations.split_whitespace() {
        let verdict = plugin.event(event().destination(destination));
        assert_eq!(verdict, expect, "{destination}");
    }
}

/// Addresses that rarely move: root name servers, universities, registries.
#[test]
fn well_known_addresses_have_their_country() {
    check(
        Some(("US", "United States")),
        "8.8.8.8:53 18.0.0.1:80 128.32.0.1:80 198.41.0.4:53 [2001:4860:4860::8888]:53 [2620:0:860::1]:80 \
         [::ffff:8.8.8.8]:53 [64:ff9b::8.8.8.8]:53 [2002:808:808::1]:53",
    );
    check(
        Some(("NL", "Netherlands")),
        "193.0.0.1:80 [2001:67c:2e8::1]:80",
    );
    check(Some(("AU", "Australia")), "1.1.1.1:443 203.119.101.1:80");
    check(Some(("JP", "Japan")), "133.11.0.1:80 [2001:200::1]:80");
    check(Some(("DE", "Germany")), "129.187.1.1:80 [2001:638::1]:80");
    check(
        Some(("GB", "United Kingdom")),
        "131.111.8.1:80 [2001:630::1]:80",
    );
    check(Some(("TR", "Türkiye")), "144.122.1.1:80");
}

#[test]
fn addresses_that_are_not_public_have_no_tags() {
    check(
        None,
        "10.0.0.1:1 172.16.0.1:1 192.168.1.1:1 127.0.0.1:1 0.0.0.0:1 169.254.169.254:1 100.64.0.1:1 224.0.0.251:1 \
         255.255.255.255:1 192.0.2.1:1 198.51.100.1:1 203.0.113.1:1 198.18.0.1:1 240.0.0.1:1 [::]:1 [::1]:1 [fe80::1]:1 \
         [fd00::1]:1 [ff02::1]:1 [2001:db8::1]:1 [3fff::1]:1 [2001:2::1]:1 [100::1]:1 [::ffff:10.0.0.1]:1 \
         [64:ff9b::10.0.0.1]:1 [2002:a00:1::1]:1 [2001::1]:1",
    );
}

#[test]
fn settings_are_checked() {
    for (settings, error) in [
        (r#"{"db":"x"}"#, "unknown field `db`, expected `city`"),
        (
            r#"{"city":"true"}"#,
            "setting `city`: needs a file that contains cities: table.country=FILE",
        ),
    ] {
        assert_eq!(
            Harness::<Geoip>::new(settings).err().as_deref(),
            Some(error)
        );
    }
}

const MMDB: &str = "network,country/iso_code,country/names/en,city/names/en\n\
                    193.0.0.0/21,NL,The Netherlands,Amsterdam\n\
                    2001:4860::/32,US,,\n";

#[test]
fn a_granted_file_replaces_the_built_in_table() {
    let mut plugin = Harness::<Geoip>::with_tables("{}", &[("country", MMDB)]).unwrap();
    let to = |destination| event().destination(destination);
    let nl = || {
        Verdict::keep()
            .tag("country", "NL")
            .tag("country_name", "The Netherlands")
    };
    let events = || {
        [
            to("193.0.0.1:80"),
            to("10.0.0.1:80"),
            to("[64:ff9b::193.0.0.1]:80"),
            to("[2001:4860::1]:80"),
            // The file does not contain this address. The plugin does not look it up in the built-in table.
            to("18.0.0.1:80"),
            to("193.0.0.1:443"),
        ]
    };
    let expect = [
        nl(),
        Verdict::keep(),
        nl(),
        Verdict::keep().tag("country", "US"),
        Verdict::keep(),
        nl(),
    ];
    assert_eq!(plugin.batch(events()), expect);
    for (event, expect) in events().into_iter().zip(expect) {
        assert_eq!(plugin.event(event), expect);
    }

    let settings = r#"{"city":true}"#;
    let mut plugin = Harness::<Geoip>::with_tables(settings, &[("country", MMDB)]).unwrap();
    let verdict = plugin.event(to("193.0.0.1:80"));
    assert_eq!(verdict, nl().tag("city", "Amsterdam"));
    assert_eq!(plugin.event(to("[2001:4860::1]:80")).get_tag("city"), None);
}

#[test]
fn a_csv_file_is_accepted() {
    let csv = "network,country\n193.0.0.0/21,NL\n";
    let with = |settings, csv| Harness::<Geoip>::with_tables(settings, &[("country", csv)]);
    let mut plugin = with("{}", csv).unwrap();
    let verdict = plugin.event(event().destination("193.0.0.1:80"));
    assert_eq!(verdict, Verdict::keep().tag("country", "NL"));
    // A file without the required columns is an error.
    for (settings, csv, error) in [
        (
            "{}",
            "network,asn\n193.0.0.0/21,3333\n",
            "table `country` has no column `country/iso_code`, and no column `country` as in CSV",
        ),
        (
            r#"{"city":true}"#,
            csv,
            "table `country` has no column `city/names/en`, and no column `city` as in CSV",
        ),
    ] {
        assert_eq!(with(settings, csv).err().as_deref(), Some(error));
    }
}

#[test]
fn the_manifest_names_the_licence_of_the_data() {
    let manifest = manifest::<Geoip>();
    assert_eq!(manifest["license"], "Apache-2.0 AND CC-BY-SA-4.0");
    let notice = manifest["notice"].as_str().unwrap();
    assert!(
        notice.contains("IPFire") && notice.contains("CC BY-SA 4.0"),
        "{notice}"
    );
}
