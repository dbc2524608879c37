//! Receives the runtime's events: which containers and sandboxes have started or ended.
//!
//! They come from the CRI, or from containerd's own event service.

use prost::Message as _;
use tokio::sync::mpsc;
use tracing::debug;

use super::{
    api::{
        containerd::{Envelope, SubscribeRequest, TaskEvent},
        runtime::{ContainerEventResponse, ContainerEventType, GetEventsRequest},
    },
    grpc::{self, events_client, runtime_client},
    server::Server,
};

/// What happened to the container or sandbox with this id.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Event {
    Started(String),
    Ended(String),
}

/// Sends the runtime's events to the watcher until the stream ends. If the runtime has no events, it returns at once; then each
/// container is looked up when it is seen.
pub(super) async fn listen(server: Server, events: mpsc::Sender<Event>) {
    // containerd sends each CRI event to one listener only (containerd issue 7318), so lightmon would take them from the kubelet.
    let result = match server.name.as_deref() {
        Some("containerd") => listen_to_containerd(&server, &events).await,
        _ => listen_to_cri(&server, &events).await,
    };
    match result {
        Err(error) if !error.is_unimplemented() => {
            debug!(%error, "no more CRI events: each container is looked up")
        }
        _ => debug!("the CRI runtime has no events: each container is looked up"),
    }
}

async fn listen_to_cri(server: &Server, events: &mpsc::Sender<Event>) -> Result<(), grpc::Error> {
    let mut client = runtime_client(server.connection.clone());
    let answers = client.get_container_events(GetEventsRequest {}).await?;
    let mut answers = answers.into_inner();
    while let Some(answer) = answers.message().await? {
        if events.send(from_cri(answer)).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn from_cri(answer: ContainerEventResponse) -> Event {
    let kind = answer.container_event_type();
    let id = answer.container_id;
    match kind {
        ContainerEventType::ContainerCreatedEvent | ContainerEventType::ContainerStartedEvent => {
            Event::Started(id)
        }
        ContainerEventType::ContainerStoppedEvent | ContainerEventType::ContainerDeletedEvent => {
            Event::Ended(id)
        }
    }
}

async fn listen_to_containerd(
    server: &Server,
    events: &mpsc::Sender<Event>,
) -> Result<(), grpc::Error> {
    let topics = [TASK_START, TASK_DELETE];
    let request = SubscribeRequest {
        filters: topics
            .map(|topic| format!(r#"namespace=="k8s.io",topic=="{topic}""#))
            .to_vec(),
    };
    let mut client = events_client(server.connection.clone());
    let mut answers = client.subscribe(request).await?.into_inner();
    while let Some(envelope) = answers.message().await? {
        if let Some(event) = from_containerd(&envelope)
            && events.send(event).await.is_err()
        {
            break;
        }
    }
    Ok(())
}

fn from_containerd(envelope: &Envelope) -> Option<Event> {
    let body = envelope.event.as_ref()?;
    let id = TaskEvent::decode(&*body.value).ok()?.container_id;
    match &*envelope.topic {
        TASK_START => Some(Event::Started(id)),
        TASK_DELETE => Some(Event::Ended(id)),
        _ => None,
    }
}

/// The topic for the start of the first process of a container or sandbox. Later processes have another topic.
const TASK_START: &str = "/tasks/start";
/// The topic for the end of a container or sandbox.
const TASK_DELETE: &str = "/tasks/delete";

#[cfg(test)]
mod tests {
    use super::{super::api::containerd::Any, *};

    #[test]
    fn events_of_the_cri() {
        // CONTAINER_STOPPED_EVENT is 2. CONTAINER_CREATED_EVENT is 0, and so it is left out of the message.
        let event = |bytes: &[u8]| from_cri(ContainerEventResponse::decode(bytes).unwrap());
        assert_eq!(event(b"\x0a\x03abc"), Event::Started("abc".into()));
        assert_eq!(event(b"\x0a\x03abc\x10\x01"), Event::Started("abc".into()));
        for ended in [2, 3] {
            let bytes = [&b"\x0a\x03abc\x10"[..], &[ended]].concat();
            assert_eq!(event(&bytes), Event::Ended("abc".into()));
        }
    }

    #[test]
    fn events_of_containerd() {
        let envelope = |topic: &str, value: &[u8]| Envelope {
            topic: topic.into(),
            event: Some(Any {
                value: value.into(),
            }),
        };
        // The id, then the pid as a number.
        let task = b"\x0a\x03abc\x10\x2a";
        let event = |topic, value: &[u8]| from_containerd(&envelope(topic, value));
        assert_eq!(
            event("/tasks/start", task),
            Some(Event::Started("abc".into()))
        );
        assert_eq!(
            event("/tasks/delete", task),
            Some(Event::Ended("abc".into()))
        );
        assert_eq!(event("/tasks/oom", task), None);
        assert_eq!(event("/tasks/delete", b"\x0a\x7f"), None);
        assert_eq!(from_containerd(&Envelope::default()), None);
    }
}
